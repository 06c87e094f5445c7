"""`python -m tests.simulate [--seeds N] [--seed S] [--trace]`: run seeds; show what happened in one."""

import argparse
import sys
import time

from tests.simulate.histories import history


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many, from --seed on")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--trace", action="store_true", help="print each history")
    args = parser.parse_args()
    began_s = time.monotonic()
    broken = 0
    for seed in range(args.seed, args.seed + args.seeds):
        found = history(seed)
        if args.trace:
            print("\n".join(found.trace))
        if found.broken:
            broken += 1
            print(f"seed {seed}: {found.broken}")
    took_s = time.monotonic() - began_s
    print(f"{args.seeds} histories, {broken} broken, {took_s:.1f} s; the last is {found.digest[:16]}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
