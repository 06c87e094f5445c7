"""Every store that the contracts are tried on. A new adapter joins by one more parameter."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.stores import Stores, memory_stores, open_stores
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "embedded"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Stores]:
    """Empty stores, one set per adapter."""
    opened = memory_stores(clock) if request.param == "memory" else open_stores(tmp_path / "data", clock)
    yield opened
    await opened.close()
