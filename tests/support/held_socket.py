"""A socket and a doorkeeper whose other end is the test."""

import asyncio

from client.api import Doorway
from client.socket_dial import Closed
from connect.codec import Encoding, decode_client, encode
from connect.frames import SUBPROTOCOL_MSGPACK, ClientFrame, Limits, ServerFrame, Welcome
from kernel.errors import SegueError
from kernel.ids import DeviceId, SessionId
from kernel.units import Millis
from tests.support.devices import SERVER_NOW


class HeldSocket:
    """What the link writes is read here, what it reads is written here."""

    subprotocol = SUBPROTOCOL_MSGPACK

    def __init__(self) -> None:
        self._to_client: asyncio.Queue[bytes | Closed] = asyncio.Queue()
        self._from_client: asyncio.Queue[ClientFrame] = asyncio.Queue()
        self.closed_with: int | None = None

    # --- the link's side

    async def send(self, message: bytes | str) -> None:
        if self.closed_with is not None:
            raise Closed(self.closed_with)
        self._from_client.put_nowait(decode_client(message, Encoding.MSGPACK))

    async def receive(self) -> bytes | str:
        got = await self._to_client.get()
        if isinstance(got, Closed):
            raise got
        return got

    async def close(self, code: int, reason: str) -> None:
        self.closed_with = code
        self._to_client.put_nowait(Closed(code, reason))

    # --- the test's side

    def say(self, frame: ServerFrame) -> None:
        self._to_client.put_nowait(encode(frame, Encoding.MSGPACK))

    def say_bytes(self, data: bytes) -> None:
        self._to_client.put_nowait(data)

    def hang_up(self, code: int | None, reason: str = "") -> None:
        self._to_client.put_nowait(Closed(code, reason))

    async def heard(self, *, but: tuple[type[ClientFrame], ...] = ()) -> ClientFrame:
        """The next frame from the client that is none of `but`."""
        while True:
            async with asyncio.timeout(5):
                frame = await self._from_client.get()
            if not isinstance(frame, but):
                return frame

    def welcome(self, *, resumed: bool = False, seq: int = 0) -> None:
        self.say(
            Welcome(
                session_id=SessionId("session-1"),
                device_id=DeviceId("remote-01"),
                owner_epoch=1,
                seq=seq,
                now_ms=Millis(SERVER_NOW),
                limits=Limits(),
                resumed=resumed,
            )
        )


class HeldDoor:
    """Gives a socket per connection, which the test takes from `next_socket`."""

    def __init__(self) -> None:
        self.asked = 0
        self.refuse: list[SegueError] = []
        """Raised instead of an answer, the first one first."""
        self.opened = asyncio.Event()
        """Nobody gets an answer before: a test sets its scene first."""
        self._sockets: asyncio.Queue[HeldSocket] = asyncio.Queue()

    async def connect_info(self) -> Doorway:
        await self.opened.wait()
        self.asked += 1
        if self.refuse:
            raise self.refuse.pop(0)
        return Doorway(url="ws://127.0.0.1:1/", ticket=f"ticket-{self.asked}", expires_in=60, subprotocols=())

    async def dial(self, url: str, subprotocols: tuple[str, ...]) -> HeldSocket:
        socket = HeldSocket()
        self._sockets.put_nowait(socket)
        return socket

    async def next_socket(self) -> HeldSocket:
        self.opened.set()
        async with asyncio.timeout(5):
            return await self._sockets.get()
