"""One connection's rules: order, rates, deadlines. No socket: messages in, what to do about them out.

The states, and what moves between them:

                     hello                goodbye
    EXPECTING_HELLO ───────▶ OPEN ────────────────▶ LEAVING
          │                   │                        │
          │ anything else,    │ second hello, BAD_FRAME,│ (the shell closes)
          │ 10 s pass         │ flood, 60 s of silence │
          └───────────────────┴───────▶ CLOSED ◀───────┘

    state            hello           other frames      UNKNOWN_TYPE       no frame until the deadline
    EXPECTING_HELLO  handed on       OUT_OF_ORDER ×    OUT_OF_ORDER ×     TIMEOUT ×      (× closes)
    OPEN             OUT_OF_ORDER ×  handed on         error, stays open  TIMEOUT ×
    LEAVING          dropped         dropped           dropped            nothing
    CLOSED           dropped         dropped           dropped            nothing

What is not in the table: whether a ticket is good and a host has room (the shell asks; it calls `refuse`),
and anything about the frames' content. Every message costs one token of its kind, commands and all the rest
apart, so that a slider that sends too much does not silence its own device's reports.

Rates: a refused command gets its reply, anything else at most one error frame per second. Who goes on sending
until three full bursts were refused is disconnected; a refusal is forgiven at half the rate of the limit.
"""

from collections.abc import Mapping
from enum import Enum

import msgspec

from connect.close_codes import close_code, close_reason
from connect.codec import Encoding, decode_client
from connect.frames import ClientFrame, CommandFrame, ErrorBody, ErrorFrame, Goodbye, Hello, Limits, Reply
from kernel.errors import TABLE, Code, Rejected, SegueError
from kernel.ids import CommandId
from kernel.units import Millis, TickS

SILENCE_S_MAX = 60.0
"""Without a frame for so long the device is offline, and its socket only costs."""
ERROR_EVERY_S = 1.0
FLOOD_BURSTS = 3
"""Refused messages, in units of the burst, at which the connection ends."""
FLOOD_RECONNECT_AFTER_MS = Millis(5_000)


class LinkState(Enum):
    EXPECTING_HELLO = "expecting_hello"
    OPEN = "open"
    LEAVING = "leaving"
    CLOSED = "closed"


class Refused(msgspec.Struct, frozen=True):
    """The message goes no further; send this and carry on."""

    answer: Reply | ErrorFrame


class Closing(msgspec.Struct, frozen=True):
    """Send `answer`, then close with this code and reason."""

    answer: Reply | ErrorFrame
    close: int
    reason: str


class Bucket:
    """Tokens that come back at a steady rate, up to a burst."""

    __slots__ = ("_burst", "_filled_tick_s", "_rate_per_s", "_tokens")

    def __init__(self, *, rate_per_s: float, burst: float, tick_s: TickS) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._filled_tick_s = tick_s

    def take(self, tick_s: TickS) -> bool:
        """One token, if there is one."""
        elapsed_s = tick_s - self._filled_tick_s
        if elapsed_s > 0:
            self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate_per_s)
            self._filled_tick_s = tick_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_ms(self) -> Millis:
        """How long after the last `take` the next token comes; at least one millisecond."""
        return Millis(max(1, int((1 - self._tokens) / self._rate_per_s * 1000) + 1))


class Link:
    """The protocol state of one connection; owned by the shell that owns its socket."""

    __slots__ = (
        "_commands",
        "_error_tick_s",
        "_forgiven_tick_s",
        "_heard_tick_s",
        "_others",
        "_strikes",
        "encoding",
        "limits",
        "state",
    )

    def __init__(self, encoding: Encoding, *, tick_s: TickS, limits: Limits) -> None:
        self.encoding = encoding
        self.limits = limits
        self.state = LinkState.EXPECTING_HELLO
        rate, burst = limits.frames_per_s, limits.frames_burst
        self._commands = Bucket(rate_per_s=rate, burst=burst, tick_s=tick_s)
        self._others = Bucket(rate_per_s=rate, burst=burst, tick_s=tick_s)
        self._heard_tick_s = tick_s
        self._error_tick_s: float = tick_s - ERROR_EVERY_S
        self._strikes = 0.0
        """Refused messages that are not forgiven yet."""
        self._forgiven_tick_s = tick_s

    def receive(self, data: bytes | str, tick_s: TickS) -> ClientFrame | Refused | Closing | None:
        """One message: a frame to act on, an answer to send, an end; None when it is to be passed over."""
        if self.state is LinkState.LEAVING or self.state is LinkState.CLOSED:
            return None
        try:
            frame = decode_client(data, self.encoding, size_max=self.limits.frame_bytes_max)
        except Rejected as fault:
            return self._undecodable(fault, tick_s)
        return self.accept(frame, tick_s)

    def accept(self, frame: ClientFrame, tick_s: TickS) -> ClientFrame | Refused | Closing | None:
        """As `receive`, for a frame that is decoded already."""
        self._heard_tick_s = tick_s
        match self.state:
            case LinkState.OPEN:
                if isinstance(frame, CommandFrame):
                    if not self._commands.take(tick_s):
                        return self._limited(frame.command_id, self._commands, tick_s)
                    return frame
                if not self._others.take(tick_s):
                    return self._limited(None, self._others, tick_s)
                if isinstance(frame, Hello):
                    return self._end(Code.OUT_OF_ORDER, "a second hello was sent; it is sent once, first")
                if isinstance(frame, Goodbye):
                    self.state = LinkState.LEAVING
                return frame
            case LinkState.EXPECTING_HELLO:
                if isinstance(frame, Hello):
                    self._others.take(tick_s)
                    self.state = LinkState.OPEN
                    return frame
                return self._end(Code.OUT_OF_ORDER, f"{_tag(frame)} was sent; the first frame is hello")
            case _:
                return None

    def refuse(self, fault: Rejected) -> Closing | Refused:
        """The shell found that what it was handed may not be (a bad ticket, a full host)."""
        if TABLE[fault.code].close is None:
            return Refused(ErrorFrame(error=error_body(fault)))
        return self._end(fault.code, fault.message, fault.details, fault.retry_after_ms)

    def deadline_tick_s(self) -> TickS | None:
        """When `overdue` is next worth asking; None when it no longer is."""
        match self.state:
            case LinkState.EXPECTING_HELLO:
                return TickS(self._heard_tick_s + self.limits.hello_within_s)
            case LinkState.OPEN:
                return TickS(self._heard_tick_s + SILENCE_S_MAX)
            case _:
                return None

    def overdue(self, tick_s: TickS) -> Closing | None:
        """An end, when the hello did not come in time or nothing was heard for too long."""
        deadline = self.deadline_tick_s()
        if deadline is None or tick_s < deadline:
            return None
        if self.state is LinkState.EXPECTING_HELLO:
            return self._end(Code.TIMEOUT, f"no hello came within {self.limits.hello_within_s} s")
        return self._end(Code.TIMEOUT, f"no frame came for {SILENCE_S_MAX:.0f} s")

    def _undecodable(self, fault: Rejected, tick_s: TickS) -> Refused | Closing | None:
        if TABLE[fault.code].close is not None:
            return self._end(fault.code, fault.message)
        if self.state is LinkState.EXPECTING_HELLO:
            return self._end(Code.OUT_OF_ORDER, f"the first frame is hello: {fault.message}")
        self._heard_tick_s = tick_s
        command_id = fault.details.get("command_id")
        bucket = self._others if command_id is None else self._commands
        if not bucket.take(tick_s):
            return self._limited(None if command_id is None else CommandId(str(command_id)), bucket, tick_s)
        if command_id is not None:
            return Refused(reply_error(CommandId(str(command_id)), fault))
        return self._error(ErrorFrame(error=error_body(fault)), tick_s)

    def _limited(
        self, command_id: CommandId | None, bucket: Bucket, tick_s: TickS
    ) -> Refused | Closing | None:
        forgiven = (tick_s - self._forgiven_tick_s) * self.limits.frames_per_s / 2
        self._strikes = max(0.0, self._strikes - forgiven) + 1
        self._forgiven_tick_s = tick_s
        if self._strikes > FLOOD_BURSTS * self.limits.frames_burst:
            text = f"{self._strikes:.0f} messages over {self.limits.frames_per_s} a second were sent"
            return self._end(Code.FLOODED, text, retry_after_ms=FLOOD_RECONNECT_AFTER_MS)
        fault = Rejected(
            Code.RATE_LIMITED,
            f"more than {self.limits.frames_per_s} a second were sent",
            retry_after_ms=bucket.wait_ms(),
        )
        if command_id is not None:
            return Refused(reply_error(command_id, fault))
        return self._error(ErrorFrame(error=error_body(fault)), tick_s)

    def _error(self, answer: ErrorFrame, tick_s: TickS) -> Refused | None:
        if tick_s - self._error_tick_s < ERROR_EVERY_S:
            return None
        self._error_tick_s = tick_s
        return Refused(answer)

    def _end(
        self,
        code: Code,
        message: str,
        details: Mapping[str, object] | None = None,
        retry_after_ms: Millis | None = None,
    ) -> Closing:
        self.state = LinkState.CLOSED
        body = ErrorBody(
            code=code, message=message, details=dict(details or {}), retry_after_ms=retry_after_ms
        )
        return Closing(ErrorFrame(error=body), close_code(code), close_reason(code, retry_after_ms))


def error_body(fault: SegueError) -> ErrorBody:
    """An error of ours as it goes over the wire."""
    return ErrorBody(
        code=fault.code,
        message=fault.message,
        details=dict(fault.details),
        retry_after_ms=fault.retry_after_ms,
    )


def reply_error(command_id: CommandId, fault: Rejected, *, seq: int = 0) -> Reply:
    """The reply to a command that was refused."""
    return Reply(command_id=command_id, ok=False, seq=seq, error=error_body(fault))


def _tag(frame: ClientFrame) -> str:
    return str(type(frame).__struct_config__.tag)
