"""Plain requests on the port of a host's sockets: health and numbers."""

import asyncio

import httpx
import pytest

from actors.host import EntityHost
from client.raw import Opcode, framed
from sessions.commands import Pause
from tests.support.listening_host import Address, call, listening_host


async def ask(address: Address, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(address.url.replace("ws:", "http:").rstrip("/") + path)


async def test_a_host_with_shards_and_room_is_live_and_ready() -> None:
    async with listening_host() as address:
        assert (await ask(address, "/healthz/live")).status_code == 200
        assert (await ask(address, "/healthz")).text == "ready\n"


@pytest.mark.parametrize(
    ("held", "why"),
    [({"peers": 0, "shards": 0}, "owns no shard"), ({"peers": 20_000, "shards": 9}, "full")],
)
async def test_one_without_is_live_and_not_ready(
    monkeypatch: pytest.MonkeyPatch, held: dict[str, int], why: str
) -> None:
    async with listening_host() as address:
        monkeypatch.setattr(EntityHost, "statistics", lambda _: held)
        assert (await ask(address, "/healthz/live")).status_code == 200
        refused = await ask(address, "/healthz")
        assert (refused.status_code, refused.text) == (503, f"not ready: {why}\n")


async def test_sockets_and_messages_are_counted() -> None:
    async with listening_host() as address:
        phone = await call(address.url, "phone-001")
        laptop = await call(address.url, "laptop-001")
        await phone.command(Pause())
        await phone.socket.close()
        laptop.socket.send_bytes(framed(Opcode.CLOSE, (4444).to_bytes(2, "big")))  # which is nobody's
        await laptop.socket.wait_closed()
        closed = [f'segue_sockets_closed_total{{code="{code}"}} 1.0' for code in ("1000", "other")]
        text = ""
        async with asyncio.timeout(10):
            while not all(line in text for line in closed):
                text = (await ask(address, "/metrics")).text
    assert "segue_sockets_opened_total 2.0" in text
    assert 'segue_sockets_closed_total{code="4005"} 0.0' in text, "the first fault is an increase"
    assert "segue_message_seconds_count 3.0" in text
