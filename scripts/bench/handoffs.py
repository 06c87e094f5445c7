"""How long a handoff takes when the devices take no time: from the command to its reply, and the gap."""

from scripts.bench.child import Child, cores_for_two
from scripts.bench.figures import Figure, percentile
from scripts.bench.sockets import GENERATOR, host_child


def handoff(*, quick: bool) -> list[Figure]:
    """Transfers between two devices that are ready at once, one after the other."""
    server_cores, generator_cores = cores_for_two()
    count = 20 if quick else 100
    with host_child(server_cores) as host, Child(GENERATOR, cores=generator_cores) as generator:
        got = generator.ask(
            op="handoff",
            url=host.ready["url"],
            album=host.ready["album"],
            tickets=host.ask(op="tickets", users=["handoff"])["tickets"],
            count=count,
        )
    reply_ms, gaps_ms = got["reply_ms"], [abs(gap) for gap in got["gaps_ms"]]
    note = f"{count} transfers, there and back; prepare, ready and the commit in the log included"
    return [
        Figure(what="handoff, command to commit, p50", value=percentile(reply_ms, 50), unit="ms", note=note),
        Figure(what="handoff, command to commit, p99", value=percentile(reply_ms, 99), unit="ms"),
        Figure(
            what="published gap, p99",
            value=percentile(gaps_ms, 99),
            unit="ms",
            target="< 30 in a browser",
            note="either way, between devices that report when their timer really fired",
        ),
    ]
