"""One connection as its host sees it: a transport, what may queue up on it, and whose it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from connect.close_codes import close_code, close_reason
from connect.codec import Encoding, encode
from connect.frames import DeviceInfo, ErrorFrame, ServerFrame, Snapshot
from connect.link import Closing, Link, error_body
from connect.outbox import Delivery, Outbox, Verdict, delivery
from kernel.errors import TABLE, Code, SegueError
from kernel.ids import DeviceId, UserId
from kernel.units import Clock, TickS

if TYPE_CHECKING:
    from actors.listener import Listener


class Transport(Protocol):
    """A socket, or what stands for one in a test. No method waits."""

    def send(self, data: bytes, *, text: bool) -> None:
        """Queue one message. A transport that has ended drops it."""
        ...

    def buffered(self) -> int:
        """Bytes taken and not yet passed to the network."""
        ...

    def close(self, code: int, reason: str) -> None: ...


class Peer:
    """One device's connection, from its hello to its end."""

    __slots__ = (
        "_clock",
        "closed",
        "device",
        "encoding",
        "heard_s",
        "link",
        "listener",
        "nonce",
        "outbox",
        "resync",
        "said_goodbye",
        "transport",
        "user_id",
    )

    def __init__(self, transport: Transport, link: Link, clock: Clock) -> None:
        self.transport = transport
        self.link = link
        self.encoding: Encoding = link.encoding
        self.outbox = Outbox()
        self.closed = False
        self.user_id: UserId | None = None
        """None until its hello was accepted; so are the next two."""
        self.device: DeviceInfo | None = None
        self.nonce = ""
        self.listener: Listener | None = None
        """Who takes its frames; None until it was let in."""
        self.heard_s = TickS(0.0)
        """When the device set was last told of a sign of life."""
        self.said_goodbye = False
        self.resync: Callable[[], Snapshot] | None = None
        """Makes the snapshot that a slow consumer gets instead of what it missed."""
        self._clock = clock

    @property
    def device_id(self) -> DeviceId:
        assert self.device is not None, "a peer has a device once its hello was accepted"
        return self.device.device_id

    def send(self, frame: ServerFrame) -> None:
        self.send_encoded(encode(frame, self.encoding), delivery(frame))

    def send_encoded(self, data: bytes, kind: Delivery) -> None:
        """Send what is encoded already, unless the connection is too far behind."""
        if self.closed:
            return
        verdict = self.outbox.offer(kind, buffered=self.transport.buffered(), tick_s=self._clock.tick_s())
        if verdict is Verdict.SEND:
            self.transport.send(data, text=self.encoding is Encoding.JSON)
        else:
            self._act(verdict)

    def drained(self) -> None:
        """The transport has room again, or time went by: make good what was held back."""
        if self.outbox.is_lagging and not self.closed:
            self._act(self.outbox.poll(buffered=self.transport.buffered(), tick_s=self._clock.tick_s()))

    def _act(self, verdict: Verdict) -> None:
        if verdict is Verdict.CLOSE:
            self.close(SegueError(Code.SLOW_CONSUMER, "the connection did not drain"))
        elif verdict is Verdict.RESYNC and self.resync is not None:
            self.transport.send(encode(self.resync(), self.encoding), text=self.encoding is Encoding.JSON)

    def close(self, error: SegueError) -> None:
        """Say why, then end the connection with the code that the table has for it."""
        answer = ErrorFrame(error=error_body(error))
        # A code that usually leaves a connection open (the store is away) ends this one: come back later.
        code = TABLE[error.code].close or close_code(Code.TOO_MANY_CONNECTIONS)
        self.end(Closing(answer, code, close_reason(error.code, error.retry_after_ms)))

    def end(self, closing: Closing) -> None:
        if self.closed:
            return
        self.closed = True
        self.transport.send(encode(closing.answer, self.encoding), text=self.encoding is Encoding.JSON)
        self.transport.close(closing.close, closing.reason)
