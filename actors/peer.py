"""One connection as its host sees it: a transport, what may queue up on it, and whose it is."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from connect.close_codes import CLOSE_NORMAL, close_code, close_reason
from connect.codec import Encoding, encode
from connect.frames import ClientFrame, DeviceInfo, ErrorFrame, ServerFrame, Snapshot
from connect.link import Closing, Link, error_body
from connect.outbox import Delivery, Outbox, Verdict, delivery
from kernel.errors import TABLE, Code, SegueError
from kernel.ids import DeviceId, UserId
from kernel.units import Clock, Millis, TickS

COME_BACK_AFTER_MS = Millis(1_000)
"""Told to who is sent away for a while by an error that knows no time of its own."""


class Transport(Protocol):
    """A socket, or what stands for one in a test. No method waits."""

    def send(self, data: bytes, *, text: bool) -> None:
        """Queue one message. A transport that has ended drops it."""
        ...

    def buffered(self) -> int:
        """Bytes taken and not yet passed to the network."""
        ...

    def close(self, code: int, reason: str) -> None: ...


class Receiver(Protocol):
    """Who takes a peer's frames once it was let in."""

    def receive(self, peer: "Peer", frame: ClientFrame) -> None: ...

    def leave(self, peer: "Peer") -> None: ...

    def snapshot(self, reason: str) -> Snapshot:
        """Everything, for a peer that missed something."""
        ...


class Peer:
    """One device's connection, from its hello to its end."""

    __slots__ = (
        "_clock",
        "_lags",
        "closed",
        "device",
        "encoding",
        "heard_s",
        "link",
        "listener",
        "nonce",
        "outbox",
        "said_goodbye",
        "transport",
        "user_id",
    )

    def __init__(
        self, transport: Transport, link: Link, clock: Clock, lags: Callable[["Peer"], None]
    ) -> None:
        """`lags` is told when state is held back, so that `drained` is called from time to time."""
        self.transport = transport
        self.link = link
        self.encoding: Encoding = link.encoding
        self.outbox = Outbox()
        self.closed = False
        self.user_id: UserId | None = None
        """None until its hello was accepted; so are the next two."""
        self.device: DeviceInfo | None = None
        self.nonce = ""
        self.listener: Receiver | None = None
        """Who takes its frames; None until it was let in."""
        self.heard_s = TickS(0.0)
        """When the device set was last told of a sign of life."""
        self.said_goodbye = False
        self._clock = clock
        self._lags = lags

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
            if self.outbox.is_lagging:
                self._lags(self)

    def drained(self) -> bool:
        """Time went by: make good what was held back, if there is room again. False while there is not."""
        if self.outbox.is_lagging and not self.closed:
            self._act(self.outbox.poll(buffered=self.transport.buffered(), tick_s=self._clock.tick_s()))
        return self.closed or not self.outbox.is_lagging

    def _act(self, verdict: Verdict) -> None:
        if verdict is Verdict.CLOSE:
            self.close(SegueError(Code.SLOW_CONSUMER, "the connection did not drain"))
        elif verdict is Verdict.RESYNC and self.listener is not None:
            whole = self.listener.snapshot("slow_consumer")
            self.transport.send(encode(whole, self.encoding), text=self.encoding is Encoding.JSON)

    def close(self, error: SegueError) -> None:
        """Say why, then end the connection with the code that the table has for it."""
        meaning = TABLE[error.code]
        body = error_body(error)
        if meaning.retry and body.retry_after_ms is None:
            body = msgspec.structs.replace(body, retry_after_ms=COME_BACK_AFTER_MS)
        # A code that usually leaves a connection open (the store is away) ends this one: come back later.
        code = meaning.close or close_code(Code.TOO_MANY_CONNECTIONS)
        self.end(Closing(ErrorFrame(error=body), code, close_reason(error.code, body.retry_after_ms)))

    def end(self, closing: Closing) -> None:
        if self.closed:
            return
        self.closed = True
        self.transport.send(encode(closing.answer, self.encoding), text=self.encoding is Encoding.JSON)
        self.transport.close(closing.close, closing.reason)

    def dismiss(self, reason: str) -> None:
        """A normal close: nothing is wrong, and it need not come back by itself."""
        if not self.closed:
            self.closed = True
            self.transport.close(CLOSE_NORMAL, reason)
