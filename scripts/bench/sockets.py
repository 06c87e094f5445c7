"""The figures of one host on its own: fan-out against the bare server, idle memory, reconnects."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.bench.child import Child, cores_for_two
from scripts.bench.facts import rss_bytes
from scripts.bench.figures import Figure, median, percentile

BARE = "scripts.bench.bare_server"
HOST = "scripts.bench.host_server"
GENERATOR = "scripts.bench.generator"
ROUNDS = 3
"""Bare, host, bare, host, …: what else the machine does meets both alike."""
USERS = 50
WINDOW = 8
"""Commands in flight per user."""


@contextmanager
def host_child(cores: set[int] | None) -> Iterator[Child]:
    """A host of its own on stores of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="segue-bench-") as folder,
        Child(HOST, folder, cores=cores) as host,
    ):
        yield host


def _users(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number:06}" for number in range(count)]


def fan_out(*, quick: bool) -> list[Figure]:
    """Seek commands per second, each answered and pushed to the user's two devices."""
    server_cores, generator_cores = cores_for_two()
    seconds, warm_up_s = (1.0, 0.5) if quick else (4.0, 1.5)
    bare_s, host_s, ratios, generator_share = [], [], [], 0.0
    pushes = refused = lost = 0.0
    with (
        Child(BARE, cores=server_cores) as bare,
        host_child(server_cores) as host,
        Child(GENERATOR, cores=generator_cores) as generator,
    ):
        for turn in range(1 if quick else ROUNDS):
            pair = []
            for name, server in (("bare", bare), ("host", host)):
                users = _users(f"{name}-{turn}", USERS)
                got = generator.ask(
                    op="fan_out",
                    url=server.ready["url"],
                    album=server.ready.get("album"),
                    tickets=server.ask(op="tickets", users=users)["tickets"],
                    window=WINDOW,
                    seconds=seconds,
                    warm_up_s=warm_up_s,
                )
                pair.append(got["per_s"])
                generator_share = max(generator_share, got["cpu_share"])
                if name == "host":
                    pushes, refused, lost = got["pushes_per_command"], got["refused"], got["lost_sockets"]
            bare_s.append(pair[0])
            host_s.append(pair[1])
            ratios.append(pair[1] / pair[0])
    note = (
        f"{USERS} users × 2 devices, {WINDOW} in flight each, {pushes:.2f} pushes per command, "
        f"{refused:.0f} refused, {lost:.0f} sockets lost; generator at most {generator_share:.0%} of its core"
    )
    return [
        Figure(what="bare websockets fan-out", value=median(bare_s), unit="commands/s", note="the yardstick"),
        Figure(what="seek with fan-out to two devices", value=median(host_s), unit="commands/s", note=note),
        Figure(
            what="ratio to the bare server",
            value=median(ratios),
            unit="",
            target="≥ 0.4 now, 0.6 aimed at",
            note=f"{len(ratios)} alternating rounds, {min(ratios):.2f} to {max(ratios):.2f}",
        ),
    ]


def idle_memory(*, quick: bool) -> list[Figure]:
    """Resident memory that one more idle session with one device costs its host."""
    count = 300 if quick else 2_000
    server_cores, generator_cores = cores_for_two()
    with host_child(server_cores) as host, Child(GENERATOR, cores=generator_cores) as generator:

        def open_users(users: list[str]) -> None:
            got = generator.ask(
                op="idle",
                url=host.ready["url"],
                tickets=host.ask(op="tickets", users=users)["tickets"],
            )
            assert got["open"] >= len(users), f"{got['open']} of {len(users)} sockets are open"

        # The first users pay for what all share: code, pools, the store's caches.
        open_users(_users("first", 100))
        before = _settled_bytes(host)
        open_users(_users("idle", count))
        after = _settled_bytes(host)
    return [
        Figure(
            what="memory per idle session with one device",
            value=(after - before) / count / 1024,
            unit="KiB",
            target="< 40 now, 25 aimed at",
            note=f"{count} more sockets after the first 100; host from {before >> 20} to {after >> 20} MiB",
        )
    ]


def _settled_bytes(host: Child) -> int:
    """Resident memory once a second of rest no longer changes it much."""
    last = -1
    for _ in range(10):
        host.ask(op="memory", pid=host.pid)
        time.sleep(1.0)
        now = rss_bytes(host.pid)
        if abs(now - last) < 256 * 1024:
            break
        last = now
    return rss_bytes(host.pid)


def reconnects(*, quick: bool) -> list[Figure]:
    """Connections per second: handshake, hello, welcome with a resume."""
    server_cores, generator_cores = cores_for_two()
    with host_child(server_cores) as host, Child(GENERATOR, cores=generator_cores) as generator:
        got = generator.ask(
            op="reconnect",
            url=host.ready["url"],
            tickets=host.ask(op="tickets", users=_users("again", 64))["tickets"],
            seconds=2.0 if quick else 6.0,
        )
    return [
        Figure(
            what="reconnects",
            value=got["per_s"],
            unit="/s",
            note=f"64 devices at once, {got['resumed']:.0%} resumed; p99 {percentile(got['ms'], 99):.0f} ms; "
            f"generator {got['cpu_share']:.0%} of its core",
        )
    ]
