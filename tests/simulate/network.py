"""Connections between simulated devices and hosts: late, cut without a word, or standing still.

A connection keeps its order, as TCP does; connections among each other keep none.
"""

import asyncio
from random import Random

from actors.host import EntityHost
from client.socket_dial import Closed
from connect.codec import Encoding
from connect.frames import SUBPROTOCOL_MSGPACK

DELAY_S_MAX = 0.03


class Line:
    """One connection, as its device has it; see `client.socket_dial.Socket`."""

    subprotocol = SUBPROTOCOL_MSGPACK

    def __init__(self, host: EntityHost, rng: Random, awake: asyncio.Event) -> None:
        """`awake` is cleared while the host is frozen: nothing reaches it, and nothing leaves it."""
        self._host = host
        self._rng = rng
        self._awake = awake
        self._to_host: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._sent: asyncio.Queue[bytes | Closed] = asyncio.Queue()
        self._to_device: asyncio.Queue[bytes | Closed] = asyncio.Queue()
        self._over = False
        self._peer = host.connected(_HostEnd(self._sent), Encoding.MSGPACK)
        loop = asyncio.get_running_loop()
        self.pumps = [loop.create_task(self._carry_up()), loop.create_task(self._carry_down())]

    async def send(self, message: bytes | str) -> None:
        if self._over:
            raise Closed(None)
        self._to_host.put_nowait(message)

    async def receive(self) -> bytes | str:
        got = await self._to_device.get()
        if isinstance(got, Closed):
            self._over = True
            raise got
        return got

    async def close(self, code: int, reason: str) -> None:
        self.cut()

    def cut(self) -> None:
        """Neither side is told why; both find out."""
        if not self._over:
            self._over = True
            self.pumps[1].cancel()
            self._to_host.put_nowait(None)
            self._to_device.put_nowait(Closed(None))

    async def _carry_up(self) -> None:
        while (message := await self._to_host.get()) is not None:
            await self._delay()
            rest = self._host.receive(self._peer, message)
            if rest is not None:
                await rest
        await self._delay()
        self._host.disconnected(self._peer)

    async def _carry_down(self) -> None:
        while True:
            message = await self._sent.get()
            await self._delay()
            self._to_device.put_nowait(message)
            if isinstance(message, Closed):
                self._to_host.put_nowait(None)
                return

    async def _delay(self) -> None:
        await asyncio.sleep(self._rng.random() * DELAY_S_MAX)
        await self._awake.wait()


class _HostEnd:
    """The same connection, as its host has it; see `actors.peer.Transport`."""

    def __init__(self, sent: asyncio.Queue[bytes | Closed]) -> None:
        self._sent = sent

    def send(self, data: bytes, *, text: bool) -> None:
        assert not text
        self._sent.put_nowait(data)

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self._sent.put_nowait(Closed(code, reason))
