"""What devices say and what becomes of them: reports, gapless advances, handoffs, loss and return.

The active device is believed about its playhead, as long as it speaks of this play and has obeyed the newest
command. Anybody else is refused by code; what is merely late is ignored, since the state already says more.
"""

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId
from kernel.units import Millis
from sessions import events as happened
from sessions.events import Event, HandedOff, Paused, PositionNoted, Resumed
from sessions.identity import play_id_of
from sessions.inputs import (
    Advanced,
    CommitHandoff,
    DeviceLost,
    DeviceReturned,
    HandoffMeasured,
    Reported,
    World,
)
from sessions.order import following_place
from sessions.playhead import HEARTBEAT_MS, clamped
from sessions.state import Session
from sessions.transport import ended, failed, position, started
from sessions.view import HandoffResult

DRIFT_MS = 100
"""A report that differs by no more says nothing new."""
REPORT_AGE_MS = 60_000
"""An older measurement counts as this old."""
ERROR_CHARS = 200


def reported(session: Session, report: Reported, world: World, now_ms: Millis) -> list[Event]:
    _check_device(session, report.device_id, report.device_epoch)
    if report.play_id != session.play_id or report.playhead_version != session.playhead.version:
        return []
    if report.error is not None:
        return failed(session, world.context, report.error[:ERROR_CHARS], now_ms)
    head = session.playhead
    at_ms = _measured(report.measured_at_ms, now_ms)
    there = clamped(report.position_ms, session.duration_ms)
    match report.state:
        case "ended":
            return ended(session, world.context, now_ms) if head.is_playing else []
        case "paused":
            if head.is_playing:
                return [Paused(position_ms=there, at_ms=at_ms, by_device=True)]
            return _noted(session, there, at_ms, now_ms, buffering=False)
        case "playing":
            if not head.is_playing:
                return [Resumed(position_ms=there, at_ms=at_ms, by_device=True)]
            return _noted(session, there, at_ms, now_ms, buffering=False)
        case "buffering":
            # While paused it makes no difference whether the bytes are there.
            return _noted(session, there, at_ms, now_ms, buffering=head.is_playing)
        case _:
            raise Rejected(
                Code.BAD_REQUEST,
                f"report {report.state!r} rejected: the states are playing, paused, buffering and ended",
            )


def _noted(session: Session, there: Millis, at_ms: Millis, now_ms: Millis, *, buffering: bool) -> list[Event]:
    head = session.playhead
    speed = head.rate if head.is_playing and not buffering else 0.0
    by_now = clamped(there + int((now_ms - at_ms) * speed), session.duration_ms)
    drift_ms = abs(by_now - position(session, now_ms))
    if head.buffering is buffering and drift_ms <= DRIFT_MS:
        return []
    return [PositionNoted(position_ms=there, at_ms=at_ms, buffering=buffering)]


def advanced(session: Session, report: Advanced, world: World, now_ms: Millis) -> list[Event]:
    """Follow the device to the item that was due. A device that is there already, or behind, or went
    somewhere else changes nothing: the state it is sent corrects it."""
    _check_device(session, report.device_id, report.device_epoch)
    if session.current is None or report.play_id == session.play_id or report.from_uid != session.current.uid:
        return []
    place = following_place(session, world.context)
    if place is None or place.item.uid != report.to_uid:
        return []
    if report.to_uid == report.from_uid and report.play_id != play_id_of(session, report.to_uid):
        # A repetition is told from the one before by its play id alone.
        return []
    if session.sleep_timer is not None and session.sleep_timer.end_of_track:
        return ended(session, world.context, now_ms)
    at_ms = _measured(report.measured_at_ms, now_ms)
    is_playing = session.playhead.is_playing
    # Paused here while it went on there: the pause stands, on the item that it reached.
    cause = "advance" if is_playing else "end"
    return [started(session, place, cause, at_ms, playing=is_playing, position=report.position_ms)]


def handed_off(session: Session, commit: CommitHandoff, now_ms: Millis) -> list[Event]:
    if commit.if_device_epoch != session.device_epoch:
        raise _stale(commit.to_device_id, commit.if_device_epoch, session)
    if commit.to_device_id == session.active_device_id:
        return []
    head = session.playhead
    goes_on = commit.playing and head.speed > 0
    switch_ms = max(commit.start_at_ms, now_ms)
    return [
        HandedOff(
            result=HandoffResult(
                handoff_id=commit.handoff_id,
                from_device_id=commit.from_device_id,
                to_device_id=commit.to_device_id,
                at_ms=commit.start_at_ms,
            ),
            device_epoch=session.device_epoch + 1,
            playing=commit.playing,
            position_ms=head.position_ms if goes_on else position(session, switch_ms),
            at_ms=head.as_of_ms if goes_on else switch_ms,
        )
    ]


def handoff_measured(session: Session, measured: HandoffMeasured) -> list[Event]:
    if session.last_handoff is None or session.last_handoff.handoff_id != measured.handoff_id:
        return []
    return [happened.HandoffMeasured(gap_ms=measured.gap_ms, jump_ms=measured.jump_ms)]


def device_lost(session: Session, lost: DeviceLost, now_ms: Millis) -> list[Event]:
    if lost.device_id != session.active_device_id:
        return []
    head = session.playhead
    if not lost.release and not head.is_playing:
        return []
    last_sign_ms = Millis(min(now_ms, lost.last_seen_ms + HEARTBEAT_MS))
    return [
        happened.DeviceLost(
            device_id=lost.device_id,
            position_ms=position(session, last_sign_ms),
            at_ms=now_ms,
            goes_on=head.is_playing and not lost.release,
            device_epoch=session.device_epoch + 1 if lost.release else None,
        )
    ]


def device_returned(session: Session, returned: DeviceReturned, now_ms: Millis) -> list[Event]:
    if returned.device_id != session.active_device_id:
        return []
    if session.playhead.pending_return != returned.device_id:
        return []
    return [happened.DeviceReturned(position_ms=position(session, now_ms), at_ms=now_ms)]


def _check_device(session: Session, device_id: DeviceId, device_epoch: int) -> None:
    if device_epoch != session.device_epoch:
        raise _stale(device_id, device_epoch, session)
    if device_id != session.active_device_id:
        raise Rejected(
            Code.NOT_ACTIVE,
            f"report of {device_id} rejected: {session.active_device_id or 'no device'} is active",
            {"active_device_id": session.active_device_id},
        )


def _stale(device_id: DeviceId, device_epoch: int, session: Session) -> Rejected:
    return Rejected(
        Code.STALE_EPOCH,
        f"device epoch {device_epoch} of {device_id} rejected: it is {session.device_epoch}",
        {"device_epoch": session.device_epoch},
    )


def _measured(measured_at_ms: Millis, now_ms: Millis) -> Millis:
    """When it was measured, as far as that can be believed: neither in the future nor long ago."""
    return Millis(min(max(measured_at_ms, now_ms - REPORT_AGE_MS), now_ms))
