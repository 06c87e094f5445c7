"""The link's socket: a small protocol, and `websockets` behind it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from connect.codec import SERVER_FRAME_BYTES_MAX
from kernel.errors import Code, Unavailable

OPEN_WITHIN_S = 10.0
CLOSE_WITHIN_S = 2.0
RECEIVED_MAX = 64
"""Messages that wait in the socket before the network has to."""


class Closed(Exception):
    """The socket is closed. `code` is None when the connection broke without a word."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Socket(Protocol):
    """An open websocket."""

    subprotocol: str

    async def send(self, message: bytes | str) -> None:
        """Raises Closed."""
        ...

    async def receive(self) -> bytes | str:
        """The next message. Raises Closed."""
        ...

    async def close(self, code: int, reason: str) -> None: ...


Dial = Callable[[str, tuple[str, ...]], Awaitable[Socket]]
"""`(url, subprotocols)` to an open socket; raises Unavailable."""


async def dial(url: str, subprotocols: tuple[str, ...]) -> Socket:
    """Open a websocket. Compression stays off: frames are small, and it costs memory on both sides."""
    try:
        connection = await connect(
            url,
            subprotocols=[Subprotocol(one) for one in subprotocols],
            compression=None,
            open_timeout=OPEN_WITHIN_S,
            close_timeout=CLOSE_WITHIN_S,
            # The conversation has its own ping, which also measures the clock.
            ping_interval=None,
            proxy=None,
            max_size=SERVER_FRAME_BYTES_MAX,
            max_queue=RECEIVED_MAX,
        )
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as fault:
        why = str(fault) or type(fault).__name__
        raise Unavailable(Code.TIMEOUT, f"no socket at {url}: {why}") from fault
    return _WebSocket(connection)


class _WebSocket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.subprotocol = str(connection.subprotocol or "")

    async def send(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def receive(self) -> bytes | str:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)


def _closed(closed: ConnectionClosed) -> Closed:
    return Closed(None) if closed.rcvd is None else Closed(closed.rcvd.code, closed.rcvd.reason)
