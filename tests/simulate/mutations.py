"""Each invariant broken on purpose: what a simulator that sees nothing would let pass.

A mutation replaces one decision of the real code for as long as its block lasts. `python -m
tests.simulate.mutations` prints within how many seeds each is found.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from actors.journal import Journal
from actors.placement import takeovers
from connect.frames import Push
from connect.replay import Replay
from sessions.events import HandedOff
from storage.ports import Append, ShardOwner
from tests.simulate.histories import history


@contextmanager
def no_fence() -> Iterator[None]:
    """Activation reads the log and puts nothing behind what it read."""
    put = Journal._put

    async def only_what_says_something(self: Journal, payload: bytes) -> Append:
        return await put(self, payload) if payload else Append.WRITTEN

    with patch.object(Journal, "_put", only_what_says_something):
        yield


@contextmanager
def repeats_are_done_again() -> Iterator[None]:
    """A command that was answered before is carried out once more."""
    with patch("actors.user_session.recall", lambda *_: None):
        yield


@contextmanager
def a_resume_leaves_one_out() -> Iterator[None]:
    """Whoever comes back is sent what it missed, but for the first."""
    since = Replay.since

    def all_but_one(self: Replay, *, owner_epoch: int, seq: int) -> list[Push] | None:
        missed = since(self, owner_epoch=owner_epoch, seq=seq)
        return missed[1:] if missed else missed

    with patch.object(Replay, "since", all_but_one):
        yield


@contextmanager
def two_devices_in_one_epoch() -> Iterator[None]:
    """A handoff does not begin a new device epoch."""

    def stay(**fields: Any) -> HandedOff:
        return HandedOff(**(fields | {"device_epoch": max(1, fields["device_epoch"] - 1)}))

    with patch("sessions.devices.HandedOff", stay):
        yield


@contextmanager
def nobody_inherits() -> Iterator[None]:
    """What a dead host owned stays its own."""

    def only_what_nobody_had(*args: Any) -> list[ShardOwner]:
        return [owner for owner in takeovers(*args) if owner.why == "join"]

    with patch("actors.keeper.takeovers", only_what_nobody_had):
        yield


MUTATIONS: Mapping[str, tuple[Callable[[], AbstractContextManager[None]], tuple[str, ...]]] = {
    # what is broken on purpose: (how, the invariants one of which is found broken)
    "no fence at activation": (no_fence, ("durable", "device epoch")),
    "a repeated command is done again": (repeats_are_done_again, ("once",)),
    "a resume leaves a push out": (a_resume_leaves_one_out, ("pushes",)),
    "a handoff keeps the device epoch": (two_devices_in_one_epoch, ("one active device",)),
    "nobody inherits from the dead": (nobody_inherits, ("liveness",)),
}


def found_within(name: str, seeds_max: int) -> tuple[int, str]:
    """How many seeds it took and what was found; `(0, "")` when nothing was."""
    mutate, _ = MUTATIONS[name]
    with mutate():
        for seed in range(1, seeds_max + 1):
            broken = history(seed).broken
            if broken:
                return seed, broken
    return 0, ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate.mutations", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, metavar="N", help="at most so many for each")
    args = parser.parse_args()
    missed = 0
    for name in MUTATIONS:
        seeds, broken = found_within(name, args.seeds)
        missed += not seeds
        print(f"{name}: " + (f"seed {seeds}: {broken}" if seeds else f"not found in {args.seeds} seeds"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
