"""Every error that leaves a process, and the one table that says what each code means.

    SegueError
    ├── Rejected        the caller asked for what this state forbids; part of the protocol, no fault
    │   └── Disallowed  the action is not possible right now, with the reasons the state already showed
    ├── Unavailable     the world failed or is full; try again after `retry_after_ms`
    └── Fenced          another writer owns the entity; drop it and ask who does

A bug is an assertion and is not in this tree. Messages say what was asked, then what was true.
Errors cross processes: each passes all of its arguments to `super().__init__`, so that it survives pickle.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kernel.units import Millis


class Code(StrEnum):
    """What went wrong, for a program to act on. `TABLE` says what each means."""

    BAD_FRAME = "BAD_FRAME"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    FRAME_TOO_LARGE = "FRAME_TOO_LARGE"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    RATE_LIMITED = "RATE_LIMITED"
    FLOODED = "FLOODED"
    BUSY = "BUSY"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    BAD_REQUEST = "BAD_REQUEST"
    NOT_FOUND = "NOT_FOUND"
    NOT_OFFERED = "NOT_OFFERED"
    NOT_OWNER = "NOT_OWNER"
    STALE_EPOCH = "STALE_EPOCH"
    STALE_ITEM = "STALE_ITEM"
    QUEUE_VERSION_CONFLICT = "QUEUE_VERSION_CONFLICT"
    QUEUE_FULL = "QUEUE_FULL"
    DISALLOWED = "DISALLOWED"
    NOT_ACTIVE = "NOT_ACTIVE"
    NO_ACTIVE_DEVICE = "NO_ACTIVE_DEVICE"
    DEVICE_UNAVAILABLE = "DEVICE_UNAVAILABLE"
    HANDOFF_IN_PROGRESS = "HANDOFF_IN_PROGRESS"
    HANDOFF_FAILED = "HANDOFF_FAILED"
    NOT_PLAYABLE = "NOT_PLAYABLE"
    PREMIUM_REQUIRED = "PREMIUM_REQUIRED"
    LEASE_INVALID = "LEASE_INVALID"
    LEASE_EXPIRED = "LEASE_EXPIRED"
    LEASE_FOREIGN = "LEASE_FOREIGN"
    LEASE_REVOKED = "LEASE_REVOKED"
    BAD_UPDATE = "BAD_UPDATE"
    PEER_INVALID = "PEER_INVALID"
    STALE_DOC = "STALE_DOC"
    PLAYLIST_FULL = "PLAYLIST_FULL"
    INVITE_EXPIRED = "INVITE_EXPIRED"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    REPLACED = "REPLACED"
    TIMEOUT = "TIMEOUT"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    GOING_AWAY = "GOING_AWAY"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    INTERNAL = "INTERNAL"


class Meaning(NamedTuple):
    """One row of the error table."""

    http: int
    """Status of a REST answer."""
    close: int | None
    """Close code when the error ends the socket; None when the connection stays open.

    4000-4499: connect again (after the given time); 4500-4999: do not, something must change first."""
    retry: bool
    """The same request may succeed later, unchanged."""
    text: str


TABLE: Mapping[Code, Meaning] = {
    Code.BAD_FRAME: Meaning(400, 4500, False, "the frame could not be decoded, or a field had a wrong type"),
    Code.UNKNOWN_TYPE: Meaning(400, None, False, "the frame's type is not one this server knows"),
    Code.FRAME_TOO_LARGE: Meaning(413, 4501, False, "the frame was larger than the limit in the welcome"),
    Code.OUT_OF_ORDER: Meaning(
        400, 4502, False, "this frame may not be sent in this state of the connection"
    ),
    Code.RATE_LIMITED: Meaning(429, None, True, "too many frames or requests; wait retry_after_ms"),
    Code.FLOODED: Meaning(429, 4006, True, "the rate limit was passed over and over; connect again later"),
    Code.BUSY: Meaning(503, None, True, "a bounded queue is full; wait retry_after_ms"),
    Code.UNAUTHORIZED: Meaning(401, 4503, False, "no valid token or ticket; get a new one"),
    Code.FORBIDDEN: Meaning(403, None, False, "the token lacks the scope, or the thing is another user's"),
    Code.BAD_REQUEST: Meaning(400, None, False, "a field is missing or out of range"),
    Code.NOT_FOUND: Meaning(404, None, False, "there is no such thing, or you may not see it"),
    Code.NOT_OFFERED: Meaning(404, None, False, "Segue has no equivalent of this part of the Web API"),
    Code.NOT_OWNER: Meaning(503, 4000, True, "this host does not own your session; ask /v1/connect again"),
    Code.STALE_EPOCH: Meaning(409, None, False, "the device epoch is older than the session's"),
    Code.STALE_ITEM: Meaning(409, None, False, "the item named in from_uid is not the one that plays"),
    Code.QUEUE_VERSION_CONFLICT: Meaning(409, None, False, "the queue changed since if_queue_version"),
    Code.QUEUE_FULL: Meaning(409, None, False, "the queue holds as many items as it may"),
    Code.DISALLOWED: Meaning(403, None, False, "the state forbids this action; details.reasons say why"),
    Code.NOT_ACTIVE: Meaning(409, None, False, "only the active device may report this"),
    Code.NO_ACTIVE_DEVICE: Meaning(404, None, True, "no device is active and none was named"),
    Code.DEVICE_UNAVAILABLE: Meaning(404, None, True, "the device is not known or not connected"),
    Code.HANDOFF_IN_PROGRESS: Meaning(409, None, True, "another handoff of this session has not ended"),
    Code.HANDOFF_FAILED: Meaning(409, None, True, "the handoff was given up; the source goes on"),
    Code.NOT_PLAYABLE: Meaning(403, None, False, "the track may not be played: market, plan or availability"),
    Code.PREMIUM_REQUIRED: Meaning(403, None, False, "the account's plan does not include this"),
    Code.LEASE_INVALID: Meaning(403, None, False, "the stream lease is malformed or its signature is wrong"),
    Code.LEASE_EXPIRED: Meaning(410, None, False, "the stream lease has run out; renew it on the socket"),
    Code.LEASE_FOREIGN: Meaning(403, None, False, "the stream lease is for something else"),
    Code.LEASE_REVOKED: Meaning(403, None, False, "the lease is of a device that is no longer active"),
    Code.BAD_UPDATE: Meaning(400, None, False, "the update cannot be read, or is no edit of a playlist"),
    Code.PEER_INVALID: Meaning(
        409, None, False, "not the next update of a peer lent to you; take a new lease"
    ),
    Code.STALE_DOC: Meaning(409, None, False, "the playlist changed under the edit; read it, make it again"),
    Code.PLAYLIST_FULL: Meaning(409, None, False, "the playlist holds as many items as it may"),
    Code.INVITE_EXPIRED: Meaning(
        410, None, False, "the invite has run out or was used up; ask for a new one"
    ),
    Code.TOO_MANY_CONNECTIONS: Meaning(503, 4001, True, "the host or user has as many sockets as it may"),
    Code.REPLACED: Meaning(409, 4504, False, "the same device id connected again; the newer socket wins"),
    Code.TIMEOUT: Meaning(504, 4002, True, "no answer within the deadline; the outcome is unknown"),
    Code.STORE_UNAVAILABLE: Meaning(503, None, True, "the store did not answer; nothing was acknowledged"),
    Code.GOING_AWAY: Meaning(503, 4003, True, "the host is shutting down; connect again"),
    Code.SLOW_CONSUMER: Meaning(503, 4004, True, "the connection did not drain; connect again and resume"),
    Code.INTERNAL: Meaning(500, 4005, True, "a fault of the server, logged with the trace id"),
}


class SegueError(Exception):
    """Base of all: a code, a sentence, and what a program may want to know."""

    def __init__(
        self,
        code: Code,
        message: str,
        details: Mapping[str, object] | None = None,
        retry_after_ms: Millis | None = None,
    ) -> None:
        super().__init__(code, message, details, retry_after_ms)
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = details or {}
        self.retry_after_ms = retry_after_ms
        """Milliseconds to wait; None when waiting does not help or the time is not known."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Rejected(SegueError):
    """The caller asked for what this state forbids."""


class Disallowed(Rejected):
    """The action is in the state's disallows; `reasons` are the ones shown there."""

    def __init__(self, action: str, reasons: tuple[str, ...]) -> None:
        Exception.__init__(self, action, reasons)
        self.code = Code.DISALLOWED
        self.message = f"{action} rejected: {', '.join(reasons)}"
        self.details = {"action": action, "reasons": list(reasons)}
        self.retry_after_ms = None


class Unavailable(SegueError):
    """The world failed or is full; the same request may succeed later."""


class Fenced(SegueError):
    """A record of ours lost the race for its place in the log: somebody else writes this entity."""
