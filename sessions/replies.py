"""Replies kept for clients that ask the same command again: at most 64, for ten minutes.

Part of the session, so that a snapshot and a replay bring them back with the change that they acknowledge.
"""

from msgspec.structs import replace

from kernel.ids import CommandId
from kernel.units import Millis
from sessions.state import Session, StoredReply

REPLIES_MAX = 64
KEPT_MS = 10 * 60 * 1000


def remember(session: Session, command_id: CommandId, reply: bytes, now_ms: Millis) -> Session:
    """Keep `reply`; the oldest give way."""
    kept = [
        stored
        for stored in session.replies
        if now_ms - stored.at_ms < KEPT_MS and stored.command_id != command_id
    ]
    kept.append(StoredReply(command_id=command_id, reply=reply, at_ms=now_ms))
    return replace(session, replies=tuple(kept[-REPLIES_MAX:]))


def recall(session: Session, command_id: CommandId, now_ms: Millis) -> bytes | None:
    """The reply that `command_id` got; None when it is not known, or no longer."""
    for stored in reversed(session.replies):
        if stored.command_id == command_id:
            return stored.reply if now_ms - stored.at_ms < KEPT_MS else None
    return None
