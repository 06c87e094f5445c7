"""What a command or an input comes to, in the state that the session is in.

The answer is a list of events. An empty list is a no-op: what was asked is so already, or came too late to
mean anything (a second skip from the same item, a report of an older play); the shell answers ok, unchanged.
Rejected carries a code; Disallowed is raised exactly when `disallows` lists the action, save that a skip from
an item that has been left already is a no-op first.
"""

from typing import assert_never

from kernel.units import Millis
from sessions.commands import (
    AddToQueue,
    ClearQueue,
    MoveInQueue,
    Pause,
    Play,
    PlayItem,
    RemoveFromQueue,
    RestoreQueue,
    Resume,
    SeekTo,
    SessionCommand,
    SetRepeat,
    SetShuffle,
    SetSleepTimer,
    SetSpeed,
    SkipNext,
    SkipPrev,
    Undo,
)
from sessions.devices import (
    advanced,
    device_lost,
    device_returned,
    handed_off,
    handoff_measured,
    reported,
)
from sessions.editing import (
    add_to_queue,
    clear_queue,
    move_in_queue,
    remove_from_queue,
    set_repeat,
    set_shuffle,
    set_sleep_timer,
    undo,
)
from sessions.events import Event
from sessions.inputs import (
    Advanced,
    CommitHandoff,
    ContextChanged,
    DeviceLost,
    DeviceReturned,
    FillAutoplay,
    HandoffMeasured,
    Input,
    Reported,
    Wake,
    World,
)
from sessions.starting import play, restore_queue
from sessions.state import Session
from sessions.transport import pause, play_item, resume, seek, set_speed, skip_next, skip_prev
from sessions.waking import autoplay_filled, context_changed, woken


def decide(session: Session, command: SessionCommand | Input, world: World, *, now_ms: Millis) -> list[Event]:
    """Raises Rejected, Disallowed; the session is as it was then."""
    match command:
        case SeekTo():
            return seek(session, command.position_ms, world, now_ms)
        case Reported():
            return reported(session, command, world, now_ms)
        case Pause():
            return pause(session, world, now_ms)
        case Resume():
            return resume(session, command, world, now_ms)
        case SkipNext():
            return skip_next(session, command, world, now_ms)
        case SkipPrev():
            return skip_prev(session, command, world, now_ms)
        case Advanced():
            return advanced(session, command, world, now_ms)
        case Play():
            return play(session, command, world, now_ms)
        case PlayItem():
            return play_item(session, command, world, now_ms)
        case SetSpeed():
            return set_speed(session, command, world, now_ms)
        case SetShuffle():
            return set_shuffle(session, command, world)
        case SetRepeat():
            return set_repeat(session, command, world)
        case AddToQueue():
            return add_to_queue(session, command, world, now_ms)
        case RemoveFromQueue():
            return remove_from_queue(session, command, world)
        case MoveInQueue():
            return move_in_queue(session, command, world)
        case ClearQueue():
            return clear_queue(session, world)
        case Undo():
            return undo(session, world)
        case RestoreQueue():
            return restore_queue(session, world, now_ms)
        case SetSleepTimer():
            return set_sleep_timer(session, command, now_ms)
        case CommitHandoff():
            return handed_off(session, command, now_ms)
        case HandoffMeasured():
            return handoff_measured(session, command)
        case DeviceLost():
            return device_lost(session, command, now_ms)
        case DeviceReturned():
            return device_returned(session, command, now_ms)
        case ContextChanged():
            return context_changed(session, command, world)
        case FillAutoplay():
            return autoplay_filled(session, command, now_ms)
        case Wake():
            return woken(session, world, now_ms)
        case _:
            assert_never(command)
