"""Running seeds: what a history came to, and how it is told."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from unittest.mock import patch

import structlog

from actors import placement
from tests.simulate.checks import Broken
from tests.simulate.virtual_loop import Stuck, run
from tests.simulate.world import World

SHARDS = 16
"""A history looks at every shard of every host once a second; sixteen show as much as four thousand."""


@dataclass(frozen=True)
class History:
    seed: int
    broken: str
    """What did not hold; empty when everything did."""
    trace: tuple[str, ...]

    @property
    def digest(self) -> str:
        return sha256("\n".join(self.trace).encode()).hexdigest()


def history(seed: int) -> History:
    with _quiet(), _few_shards():
        world = World(seed)
        broken = ""
        try:
            run(world.run())
        except Broken as found:
            # What was found first is the cause of what was found at the end.
            broken = str(world.checks.broken or found)
        except Stuck:
            broken = "liveness: everybody waits for ever"
    return History(seed, broken, tuple(world.trace))


@contextmanager
def _few_shards() -> Iterator[None]:
    placement._desired.cache_clear()
    with patch("actors.shards.N_SHARDS", SHARDS), patch("actors.placement.N_SHARDS", SHARDS):
        yield
    placement._desired.cache_clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """A thousand histories would log for minutes."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
