"""`python -m scripts.bench [names…] [--quick] [--markdown]`: measures, and prints facts and a table."""

import argparse
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from scripts.bench import handoffs, library, page, rest, sockets, whole
from scripts.bench.facts import facts
from scripts.bench.figures import Figure, Skipped, written

BENCHMARKS: dict[str, Callable[..., list[Figure]]] = {
    "fanout": sockets.fan_out,
    "idle_memory": sockets.idle_memory,
    "reconnects": sockets.reconnects,
    "handoff": handoffs.handoff,
    "leases": library.leases_signed,
    "ingest": library.ingest_speed,
    "taps": whole.taps,
    "rest": rest.rest,
    "large_library": rest.large_library,
    "page": page.page,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all if none")
    parser.add_argument("--quick", action="store_true", help="short runs: shows that it works, not how fast")
    parser.add_argument("--markdown", action="store_true", help="as docs/performance.md has it")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")

    about = facts()
    figures: list[Figure] = []
    failed = False
    for name in args.names or BENCHMARKS:
        began = time.monotonic()
        try:
            figures += BENCHMARKS[name](quick=args.quick)
            outcome = "done"
        except Skipped as why:
            outcome = f"skipped: {why}"
        except (RuntimeError, AssertionError, OSError) as fault:
            outcome, failed = f"failed: {fault}", True
        print(f"{name}: {outcome} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    (_print_markdown if args.markdown else _print_table)(about, figures)
    return 1 if failed else 0


def _print_markdown(about: list[tuple[str, str]], figures: list[Figure]) -> None:
    print("; ".join(f"{name} {value}" for name, value in about) + ".\n")
    print("| what | measured | target | how |\n| --- | ---: | --- | --- |")
    for one in figures:
        print(f"| {one.what} | {written(one.value)} {one.unit} | {one.target} | {one.note} |")


def _print_table(about: list[tuple[str, str]], figures: list[Figure]) -> None:
    console = Console()
    console.print("\n".join(f"{name:12} {value}" for name, value in about), highlight=False)
    table = Table("what", "measured", "target", "how", show_lines=True)
    table.columns[1].justify = "right"
    for one in figures:
        table.add_row(one.what, f"{written(one.value)} {one.unit}", one.target, one.note)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
