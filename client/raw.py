"""A websocket with nothing around it: thousands per process, for load, benchmarks and hostile tests.

No reconnect, no clock, no queue: bytes go to the transport at once, and each message is handed to a callback
from within `data_received`. Only for a server next door: the masking key of RFC 6455 §5.3, which protects
proxies on the way, is zero here, so that masking costs the load generator nothing.
"""

import asyncio
import base64
from collections.abc import Callable
from enum import IntEnum
from typing import cast
from urllib.parse import urlsplit

from connect.codec import ENCODINGS, Encoding, decode_server, encode
from connect.frames import ClientFrame, ServerFrame
from kernel.errors import Code, Unavailable

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
WAITING_MAX = 100_000
"""Messages that wait for `receive`; one more ends the socket."""
HEAD_BYTES_MAX = 16 * 1024
OPEN_WITHIN_S = 10.0


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def framed(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One frame of RFC 6455 §5.2, with the zero mask of a client."""
    size = len(payload)
    first = (0x80 if fin else 0) | opcode
    if size < 126:
        return bytes((first, 0x80 | size, 0, 0, 0, 0)) + payload
    if size < 1 << 16:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big") + b"\0\0\0\0" + payload
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + b"\0\0\0\0" + payload


OnMessage = Callable[[bytes], None]


class RawSocket(asyncio.Protocol):
    """One open socket. Make it with `open_raw`."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._buffer = bytearray()
        self._message = bytearray()
        """Payload of the fragments so far."""
        self._opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        """For tests that stop reading; None before the connection."""
        self.subprotocol = ""
        self.encoding = Encoding.MSGPACK
        self.on_message: OnMessage | None = None
        """Called with each message's payload; while it is None messages wait for `receive`."""
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MAX)
        self.close_code: int | None = None
        """What the server closed with; None while open, or when it broke."""
        self.close_reason = ""
        self.closed = asyncio.Event()
        self.messages = 0
        """Received so far."""

    # --- sending -------------------------------------------------------------------------------------

    def send(self, frame: ClientFrame) -> None:
        """One frame of ours, in the connection's encoding."""
        self.send_encoded(encode(frame, self.encoding))

    def send_encoded(self, payload: bytes) -> None:
        opcode = Opcode.BINARY if self.encoding is Encoding.MSGPACK else Opcode.TEXT
        self.send_bytes(framed(opcode, payload))

    def send_bytes(self, data: bytes) -> None:
        """Anything at all, straight to the network."""
        assert self.transport is not None, "open_raw returns connected sockets"
        self.transport.write(data)

    @property
    def unsent_bytes(self) -> int:
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    # --- receiving -----------------------------------------------------------------------------------

    async def receive(self, *, within_s: float = OPEN_WITHIN_S) -> ServerFrame:
        """The next frame. Raises Unavailable when none comes, or the socket is closed."""
        payload = await self.receive_bytes(within_s=within_s)
        return decode_server(
            payload if self.encoding is Encoding.MSGPACK else payload.decode(), self.encoding
        )

    async def receive_bytes(self, *, within_s: float = OPEN_WITHIN_S) -> bytes:
        if not self._waiting.empty():
            return self._waiting.get_nowait()
        getting = asyncio.ensure_future(self._waiting.get())
        closing = asyncio.ensure_future(self.closed.wait())
        try:
            await asyncio.wait({getting, closing}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
        finally:
            closing.cancel()
            if not getting.done():
                getting.cancel()
        if self.closed.is_set():
            raise Unavailable(Code.GOING_AWAY, f"closed with {self.close_code} {self.close_reason}")
        raise Unavailable(Code.TIMEOUT, f"no message within {within_s} s")

    async def wait_closed(self, *, within_s: float = OPEN_WITHIN_S) -> int | None:
        """The server's close code; None when the connection broke."""
        async with asyncio.timeout(within_s):
            await self.closed.wait()
        return self.close_code

    async def close(self, code: int = 1000) -> None:
        if self.transport is not None and not self.closed.is_set():
            self.transport.write(framed(Opcode.CLOSE, code.to_bytes(2, "big")))
            self.transport.close()
            await self.closed.wait()

    def abort(self) -> None:
        """Vanish without a word."""
        if self.transport is not None:
            self.transport.abort()

    # --- asyncio.Protocol ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are transports by what they do, not by their class.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._opened.done() and not self._take_head():
            return
        self._take_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if not self._opened.done():
            self._opened.set_exception(Unavailable(Code.GOING_AWAY, "closed during the handshake"))

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                self._refuse("an endless answer to the handshake")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        if " 101 " not in f"{lines[0]} ":
            self._refuse(lines[0])
            return False
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        self.subprotocol = {name.lower(): value for name, value in fields.items()}.get(
            "sec-websocket-protocol", ""
        )
        self.encoding = ENCODINGS.get(self.subprotocol, Encoding.MSGPACK)
        self._opened.set_result(self.subprotocol)
        return True

    def _refuse(self, why: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(Unavailable(Code.GOING_AWAY, f"the handshake failed: {why}"))
        self.abort()

    def _take_frames(self) -> None:
        buffer, at = self._buffer, 0
        have = len(buffer)
        while have - at >= 2:
            first, size, body = buffer[at], buffer[at + 1], at + 2
            # The lengths of RFC 6455 §5.2; a server does not mask.
            if size == 126:
                if have - at < 4:
                    break
                size, body = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                if have - at < 10:
                    break
                size, body = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if size > MESSAGE_BYTES_MAX:
                self._refuse("too large a message")
                return
            if have - body < size:
                break
            payload = bytes(buffer[body : body + size])
            at = body + size
            self._take_frame(first & 0x0F, payload, fin=first & 0x80 != 0)
        del buffer[:at]

    def _take_frame(self, opcode: int, payload: bytes, *, fin: bool) -> None:
        match opcode:
            case Opcode.PING:
                self.send_bytes(framed(Opcode.PONG, payload))
            case Opcode.PONG:
                pass
            case Opcode.CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
                self.close_reason = payload[2:].decode("utf-8", "replace")
                self.send_bytes(framed(Opcode.CLOSE, payload[:2]))
                assert self.transport is not None
                self.transport.close()
            case _ if fin and not self._message:
                self._deliver(payload)
            case _:
                self._message += payload
                if fin:
                    whole = bytes(self._message)
                    self._message.clear()
                    self._deliver(whole)

    def _deliver(self, payload: bytes) -> None:
        self.messages += 1
        if self.on_message is not None:
            self.on_message(payload)
            return
        try:
            self._waiting.put_nowait(payload)
        except asyncio.QueueFull:
            self.abort()

    async def opened(self) -> str:
        return await self._opened


async def open_raw(
    url: str, *subprotocols: str, within_s: float = OPEN_WITHIN_S, headers: tuple[str, ...] = ()
) -> RawSocket:
    """Connect and shake hands. Raises Unavailable when refused, OSError when nobody is there."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        # The server only echoes a hash of it, which nothing here checks.
        f"Sec-WebSocket-Key: {base64.b64encode(b'segue-raw-socket').decode()}",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}"] if subprotocols else []),
        *headers,
    ]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    _, socket = await asyncio.get_running_loop().create_connection(lambda: RawSocket(head), host, port)
    try:
        async with asyncio.timeout(within_s):
            await socket.opened()
    except TimeoutError:
        socket.abort()
        raise Unavailable(Code.TIMEOUT, f"{url} did not answer the handshake within {within_s} s") from None
    return socket
