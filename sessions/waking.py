"""What happens without anybody asking: timers, lanes that fill up, a context that changes under the music."""

from kernel.units import Millis
from sessions import events as happened
from sessions.events import AutoplayFilled, Event, Paused, SleepTimerSet
from sessions.identity import minted_uid
from sessions.inputs import ContextChanged, FillAutoplay, World
from sessions.order import Place, items_of
from sessions.playhead import end_overdue_at_ms
from sessions.starting import cursor_in
from sessions.state import AUTOPLAY, AUTOPLAY_MAX, Item, Session
from sessions.transport import ended, position, started

LATE_FILL_MS = 10_000
"""Autoplay that comes this late after the end still goes on by itself; later nobody waits for it any more."""


def woken(session: Session, world: World, now_ms: Millis) -> list[Event]:
    timer = session.sleep_timer
    if timer is not None and timer.at_ms is not None and timer.at_ms <= now_ms:
        over = SleepTimerSet(timer=None)
        if not session.playhead.is_playing:
            return [over]
        return [Paused(position_ms=position(session, now_ms), at_ms=now_ms), over]
    overdue_at_ms = end_overdue_at_ms(session.playhead, duration_ms=session.duration_ms)
    if overdue_at_ms is not None and overdue_at_ms <= now_ms:
        return ended(session, world.context, now_ms)
    return []


def autoplay_filled(session: Session, fill: FillAutoplay, now_ms: Millis) -> list[Event]:
    """Candidates that are not in the lane already, as many as it holds."""
    known = {item.uri for item in session.autoplay}
    if session.current is not None:
        known.add(session.current.uri)
    items: list[Item] = []
    for candidate in fill.candidates:
        if candidate.uri in known or len(session.autoplay) + len(items) >= AUTOPLAY_MAX:
            continue
        known.add(candidate.uri)
        items.append(
            Item(
                uid=minted_uid(session, now_ms, nth=len(items)),
                uri=candidate.uri,
                provider=AUTOPLAY,
                duration_ms=candidate.duration_ms,
                is_speech=candidate.is_speech,
                reason=candidate.reason,
            )
        )
    if not items:
        return []
    filled = AutoplayFilled(items=tuple(items))
    if not _waits(session, now_ms):
        return [filled]
    return [filled, started(session, Place(items[0], None), "autoplay", now_ms, playing=True)]


def _waits(session: Session, now_ms: Millis) -> bool:
    """The music ended a moment ago for want of these very items."""
    return (
        session.stop_reason == "end_of_queue"
        and not session.queue
        and not session.autoplay
        and session.active_device_id is not None
        and now_ms - session.playhead.as_of_ms <= LATE_FILL_MS
    )


def context_changed(session: Session, changed: ContextChanged, world: World) -> list[Event]:
    """Another revision of what plays; one of anything else is no concern of this session."""
    ref, context = session.context, changed.context
    if ref is None or ref.uri is None or context.uri != ref.uri or context.revision == ref.revision:
        return []
    cursor = cursor_in(context.items, ref.cursor, items_of(ref, world.context))
    return [happened.ContextChanged(revision=context.revision, cursor=cursor)]
