"""What may not be done now, and why. `decide` refuses by the same function, so the two never differ.

An action is the Web API's name where it has one. `transferring_playback` and `interrupting_playback` are
never disallowed by the session: a device may be chosen while nothing plays, and anything may be interrupted.
`skipping_prev` is about items; to hear the first one from its start is `seeking`, which stays allowed.
Reasons: nothing_playing, nothing_playable, not_playing, already_paused, already_playing, no_next_tracks,
no_previous_tracks, autoplay, not_speech, nothing_to_undo, no_parked_queue.
"""

from collections.abc import Callable, Mapping

from kernel.errors import Disallowed
from sessions.inputs import Context
from sessions.order import first_place, has_next, has_prev
from sessions.playhead import Status
from sessions.state import AUTOPLAY, Session

Reasons = tuple[str, ...]


def disallows(session: Session, context: Context | None) -> dict[str, Reasons]:
    """Action to reasons; an action that is not here is allowed."""
    found = {}
    for action, reasons_of in _REASONS.items():
        if reasons := reasons_of(session, context):
            found[action] = reasons
    return found


def check(action: str, session: Session, context: Context | None) -> None:
    """Raises Disallowed exactly when `disallows` lists the action."""
    if reasons := _REASONS[action](session, context):
        raise Disallowed(action, reasons)


def _pausing(session: Session, _: Context | None) -> Reasons:
    match session.playhead.status:
        case Status.PLAYING:
            return ()
        case Status.PAUSED:
            return ("already_paused",)
        case Status.STOPPED:
            return ("not_playing",)


def _resuming(session: Session, context: Context | None) -> Reasons:
    match session.playhead.status:
        case Status.PLAYING:
            return ("already_playing",)
        case Status.PAUSED:
            return ()
        case Status.STOPPED:
            if has_next(session, context) or first_place(session, context) is not None:
                return ()
            return ("nothing_playing" if session.context is None else "nothing_playable",)


def _seeking(session: Session, _: Context | None) -> Reasons:
    return () if session.current is not None else ("nothing_playing",)


def _skipping_next(session: Session, context: Context | None) -> Reasons:
    return () if has_next(session, context) else ("no_next_tracks",)


def _skipping_prev(session: Session, context: Context | None) -> Reasons:
    return () if has_prev(session, context) else ("no_previous_tracks",)


def _toggling(session: Session, _: Context | None) -> Reasons:
    on_autoplay = session.current is not None and session.current.provider == AUTOPLAY
    return ("autoplay",) if on_autoplay else ()


def _setting_speed(session: Session, _: Context | None) -> Reasons:
    if session.current is None:
        return ("nothing_playing",)
    return () if session.current.is_speech else ("not_speech",)


def _undoing(session: Session, context: Context | None) -> Reasons:
    if not session.undo:
        return ("nothing_to_undo",)
    return _toggling(session, context) if session.undo[-1].options is not None else ()


def _restoring_queue(session: Session, _: Context | None) -> Reasons:
    return () if session.parked else ("no_parked_queue",)


_REASONS: Mapping[str, Callable[[Session, Context | None], Reasons]] = {
    "pausing": _pausing,
    "resuming": _resuming,
    "seeking": _seeking,
    "skipping_next": _skipping_next,
    "skipping_prev": _skipping_prev,
    "toggling_shuffle": _toggling,
    "toggling_repeat_context": _toggling,
    "toggling_repeat_track": _toggling,
    "setting_speed": _setting_speed,
    "undoing": _undoing,
    "restoring_queue": _restoring_queue,
}
