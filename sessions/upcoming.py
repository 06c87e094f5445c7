"""What the session will want: items to prefetch, candidates for autoplay, a wake-up call."""

from itertools import islice

from kernel.ids import PlayId, Uri
from kernel.units import Millis
from sessions.commands import Repeat
from sessions.identity import play_id_of
from sessions.inputs import Context
from sessions.order import context_places, next_places
from sessions.playhead import end_overdue_at_ms
from sessions.state import AUTOPLAY, Item, Session

AUTOPLAY_REFILL_BELOW = 5
AUTOPLAY_FIRST_BELOW = 2
SEEDS_MAX = 5


def upcoming(session: Session, context: Context | None, count: int = 3) -> tuple[tuple[Item, PlayId], ...]:
    """What the active device may go on to by itself, with the play ids that the items will get.

    With repeat track the item itself comes first, then what a skip leads to. Empty while a sleep timer waits
    for the end of the track: the device must not run on.
    """
    if session.sleep_timer is not None and session.sleep_timer.end_of_track:
        return ()
    found: list[tuple[Item, PlayId]] = []
    if session.repeat is Repeat.TRACK and session.current is not None:
        found.append((session.current, play_id_of(session, session.current.uid)))
    for ahead, place in enumerate(islice(next_places(session, context), count - len(found))):
        found.append((place.item, play_id_of(session, place.item.uid, ahead=ahead)))
    return tuple(found)


def wants_autoplay(session: Session, context: Context | None) -> bool:
    """The end is near and nothing repeats."""
    if session.repeat is not Repeat.OFF or len(session.autoplay) >= AUTOPLAY_REFILL_BELOW:
        return False
    if session.current is None:
        return session.stop_reason == "end_of_queue" and not session.queue and not session.autoplay
    if session.current.provider == AUTOPLAY:
        return True
    left = len(session.queue)
    if left < AUTOPLAY_FIRST_BELOW:
        left += sum(1 for _ in islice(context_places(session, context), AUTOPLAY_FIRST_BELOW))
    return left < AUTOPLAY_FIRST_BELOW


def autoplay_seeds(session: Session, context: Context | None) -> tuple[Uri, ...]:
    """What autoplay goes by: the tracks heard last, newest first, then those about to be heard. At most 5."""
    seeds: dict[Uri, None] = {}
    if session.current is not None:
        seeds[session.current.uri] = None
    for played in reversed(session.history):
        if played.error is None:
            seeds[played.item.uri] = None
    for place in islice(next_places(session, context), SEEDS_MAX):
        seeds[place.item.uri] = None
    return tuple(seeds)[:SEEDS_MAX]


def wake_at_ms(session: Session) -> Millis | None:
    """When the session wants a `Wake`; None when nothing waits for time to pass."""
    end_ms = end_overdue_at_ms(session.playhead, duration_ms=session.duration_ms)
    timer_ms = session.sleep_timer.at_ms if session.sleep_timer is not None else None
    if end_ms is None or timer_ms is None:
        return end_ms if timer_ms is None else timer_ms
    return min(end_ms, timer_ms)
