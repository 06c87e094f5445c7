"""A real host behind a real socket on loopback, and what a client needs to find it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from actors.host import EntityHost
from client.api import Doorway
from client.raw import RawSocket, open_raw
from connect.codec import Encoding
from connect.frames import (
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    Capabilities,
    CommandFrame,
    DeviceInfo,
    Hello,
    Limits,
    Reply,
    Snapshot,
    Welcome,
)
from kernel.ids import CommandId, DeviceId
from serve.host_metrics import HostMetrics
from serve.sockets import serve_sockets
from sessions.commands import Command
from tests.support.hosting import a_filled_host


class Address(NamedTuple):
    """A host that listens."""

    host: EntityHost
    url: str


@asynccontextmanager
async def listening_host(*, limits: Limits | None = None) -> AsyncIterator[Address]:
    """On memory stores, with an album; tickets are the user's name and are believed."""
    host, stores = await a_filled_host(limits=limits)
    host.start()
    numbers = HostMetrics()
    server = await serve_sockets(
        host,
        bind_host="127.0.0.1",
        port=0,
        allowed_origins=(),
        metrics=lambda: numbers.text(host.statistics()),
    )
    try:
        yield Address(host, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/")
    finally:
        server.close(close_connections=False)
        await host.stop()
        server.close()
        await server.wait_closed()
        await stores.close()


class OpenDoor:
    """`client.api.Doorkeeper` for one user of such a host."""

    def __init__(self, url: str, *, user: str = "user-ada") -> None:
        self._url = url
        self._user = user

    async def connect_info(self) -> Doorway:
        return Doorway(url=self._url, ticket=self._user, expires_in=60, subprotocols=())


class Caller:
    """One device over a raw socket: hello is said, commands are answered."""

    def __init__(self, socket: RawSocket, device_id: str) -> None:
        self.socket = socket
        self.device_id = DeviceId(device_id)
        self.snapshot: Snapshot
        self._sent = 0

    async def command(self, command: Command) -> Reply:
        self._sent += 1
        command_id = CommandId(f"{self.device_id}-{self._sent:06}")
        self.socket.send(CommandFrame(command_id=command_id, command=command))
        while True:
            frame = await self.socket.receive()
            if isinstance(frame, Reply) and frame.command_id == command_id:
                return frame


async def call(
    url: str,
    device_id: str,
    *,
    user: str = "user-ada",
    encoding: Encoding = Encoding.MSGPACK,
    nonce: str = "nonce-0001",
) -> Caller:
    """Connect a player and say hello."""
    subprotocol = SUBPROTOCOL_MSGPACK if encoding is Encoding.MSGPACK else SUBPROTOCOL_JSON
    socket = await open_raw(url, subprotocol)
    caller = Caller(socket, device_id)
    info = DeviceInfo(device_id=caller.device_id, name=device_id, capabilities=Capabilities())
    socket.send(Hello(ticket=user, device=info, connection_nonce=nonce))
    assert isinstance(await socket.receive(), Welcome)
    snapshot = await socket.receive()
    assert isinstance(snapshot, Snapshot)
    caller.snapshot = snapshot
    return caller
