"""What the edge says of itself, beside what it serves."""

import httpx
import pytest

from kernel.errors import Code, Unavailable
from serve.edge import create_edge_app
from serve.edge_status import EdgeStatus
from serve.keys import KeyRing
from serve.settings import Settings
from storage.stores import memory_stores
from tests.support.clock import FakeClock
from tests.support.waiting import until


async def test_it_is_live_and_ready_and_counts_and_serves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    stores = memory_stores(clock)
    keys = await KeyRing.open(stores.documents, clock, Settings())
    edge = create_edge_app(stores, keys, clock, lease_s=120)
    status = EdgeStatus(edge)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(status), base_url="http://edge") as client:
        assert (await client.get("/healthz")).text == "ready\n"
        assert (await client.get(f"/art/{'0' * 64}")).json()["error"]["reason"] == "NOT_FOUND"
        numbers = (await client.get("/metrics")).text
        assert 'segue_edge_answers_total{outcome="NOT_FOUND"} 1.0' in numbers
        assert "segue_edge_streams 0.0" in numbers

        async def gone(*_: object, **__: object) -> None:
            raise Unavailable(Code.STORE_UNAVAILABLE, "the store is away")

        monkeypatch.setattr(stores.volatile, "changed", gone)
        edge._revocations.start()
        await until(lambda: not edge._revocations.is_current)
        await edge._revocations.stop()
        refused = await client.get("/healthz")
        assert (refused.status_code, refused.text.startswith("not ready: the store")) == (503, True)
        assert (await client.get("/healthz/live")).status_code == 200
    full = create_edge_app(stores, keys, clock, lease_s=120)
    monkeypatch.setattr(full, "_streams_max", 0)
    assert full.why_not_ready() == "full"
