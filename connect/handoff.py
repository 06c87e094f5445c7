"""A handoff as a state machine: make before break, and the source goes on whenever it fails.

`begin` makes one, `step` moves it: an input and a time in, the next state and what the shell is to do out. At
most one per session; a second `begin` is an input (`TransferAsked`) of the first. Stages:

               TargetReady             CommitDone(ok)           both `switched`, or the target's
    PREPARING ────────────▶ COMMITTING ─────────────▶ COMMITTED ───────────────────────────────▶ DONE
        │                       │                        └─ start_at + 5 s (target_silent) ───────▲
        └──────▶ ABORTED ◀──────┘

    input             PREPARING                COMMITTING                    COMMITTED          over
    TransferAsked =   waits for the answer     waits for the answer          ok                 –
    TransferAsked ≠   HANDOFF_IN_PROGRESS      HANDOFF_IN_PROGRESS           HANDOFF_IN_PROGRESS –
    TargetReady       AskCommit → COMMITTING   –                             –                  –
    TargetRefused     ABORTED target_refused   – (see below)                 –                  –
    TargetLost        ABORTED target_lost      – (see below)                 –                  –
    SourceLost        goes on, without it      goes on, without it           no gap measured    –
    SourceReturned    goes on, with it         goes on, with it              –                  –
    Changed           SendPrepare again        – (the switch carries the     –                  –
                                                 position of that moment)
    Stopped           ABORTED stopped          –                             –                  –
    ActiveChanged     ABORTED superseded       – (the commit will fail)      DONE superseded    –
    CommitDone ok     –                        SendSwitch → COMMITTED (DONE  –                  –
                                               when nothing is to be heard)
    CommitDone no     –                        ABORTED store | superseded    –                  –
    Switched          –                        –                             noted; with both:  –
                                                                             Measured → DONE
    DeadlineReached   ABORTED deadline         after 5 s: ABORTED store      DONE target_silent –

`=` and `≠`: to the same target, to another one. `–` changes nothing: repeated and late inputs are harmless.

The commit is the session's log record that makes the target active. Once it is asked for, it cannot be called
back: a target that is lost during it is the active device all the same, stays silent, and the state says
`target_silent`, for a person to decide; nothing starts by itself on a device nobody chose. Until then the
source was told nothing, so there is nothing to undo. Who is active is read off the session, never off here.

Not prepared but committed at once: a target that cannot prepare, and a session without a current item.
A source that is lost before the commit has no switch to obey; what it plays from its buffer ends with its
buffer or its next hello. A target keeps its own volume: no frame of a handoff has one.

The instant: `start_at = now + max(2·rtt, start_delay + the target's rtt, 150 ms)`, rtt being the larger of
both ends', chosen before the commit is written. If writing took so long that less than the longer way remains
(rtt, at least 50 ms), the instant moves to `now` plus that, for both ends alike, in the `switch` they get.
Waiting for it costs nothing audible: the source plays until then, and the position is that of the playhead.
"""

from enum import StrEnum
from typing import assert_never

import msgspec

from connect import frames
from connect.frames import Phase
from connect.handoff_messages import (
    ActiveChanged,
    AnswerTransfer,
    AskCommit,
    AskPlayback,
    Changed,
    CommitDone,
    DeadlineReached,
    Effect,
    Input,
    Measured,
    Publish,
    SendAbort,
    SendPrepare,
    SendSwitch,
    SourceLost,
    SourceReturned,
    Stopped,
    Switched,
    TargetLost,
    TargetReady,
    TargetRefused,
    TransferAsked,
    WakeAt,
)
from kernel.errors import Code
from kernel.ids import DeviceId, HandoffId
from kernel.units import Millis
from sessions.commands import RestorePaused

DEADLINE_MS = 5_000
COMMIT_WITHIN_MS = 5_000
"""A store that answers later than this has not answered."""
SILENT_AFTER_MS = 5_000
LEAD_MS_MIN, LEAD_MS_MAX = 150, 5_000
SHIFT_MS_MIN = 50
RTT_MS_UNKNOWN = 75.0
"""Of a device that has not measured yet."""
ATTEMPTS_MAX = 8
"""Prepares of one handoff. A listener who goes on skipping gets a switch with the right position and less
buffered, not an endless preparation."""
WAITING_MAX = 16
"""Commands that wait for one handoff's end."""
MEASURE_MS_MAX = 10_000
"""A switch reported further than this from the agreed instant is a broken clock, not a gap; a jump larger
than this compares the positions of two items."""


class Stage(StrEnum):
    PREPARING = "preparing"
    COMMITTING = "committing"
    COMMITTED = "committed"
    DONE = "done"
    ABORTED = "aborted"


class Handoff(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one handoff."""

    handoff_id: HandoffId
    from_device_id: DeviceId | None
    to_device_id: DeviceId
    if_device_epoch: int
    """The epoch that the commit replaces by the next one."""
    stage: Stage
    deadline_at_ms: Millis
    """Of the stage: of the preparation, of the commit, of the target's silence."""
    will_play: bool
    """Whether the target plays after the switch."""
    is_audible: bool
    """Whether the source sounds now."""
    speed: float = 1.0
    source_connected: bool
    source_rtt_ms: float = RTT_MS_UNKNOWN
    target_rtt_ms: float = RTT_MS_UNKNOWN
    start_delay_ms: int = 0
    attempt: int = 1
    waiting: tuple[str, ...] = ()
    """Who gets the answer: command ids, or whatever names an asker to the shell."""
    commit_asked_ms: Millis | None = None
    start_at_ms: Millis | None = None
    source_switched: tuple[float, float] | None = None
    """`(at_ms, position_ms)` as reported."""
    target_switched: tuple[float, float] | None = None
    gap_ms: float | None = None
    jump_ms: float | None = None
    reason: str | None = None

    @property
    def is_over(self) -> bool:
        return self.stage is Stage.DONE or self.stage is Stage.ABORTED


Step = tuple[Handoff, list[Effect]]


# --- begin ------------------------------------------------------------------------------------------


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand when a transfer is asked for."""

    active_device_id: DeviceId | None
    source_connected: bool
    source_rtt_ms: float | None = None
    target_rtt_ms: float | None = None
    target_supports_prepare: bool
    device_epoch: int
    has_item: bool
    """Something is current, be it paused."""
    is_playing: bool
    speed: float = 1.0
    """What the position grows by per millisecond while it plays."""


def will_play(restore_paused: RestorePaused, *, is_playing: bool) -> bool:
    """Whether the target plays after the switch."""
    match restore_paused:
        case RestorePaused.RESTORE:
            return is_playing
        case RestorePaused.PAUSE:
            return False
        case RestorePaused.RESUME:
            return True
    assert_never(restore_paused)


def begin(
    *,
    handoff_id: HandoffId,
    to_device_id: DeviceId,
    restore_paused: RestorePaused,
    asker: str,
    facts: Facts,
    now_ms: Millis,
) -> tuple[Handoff | None, list[Effect]]:
    """A new handoff and what to do first; None when the target is the active device already.

    That the transfer is possible at all was checked before (`connect.transfer_plan.refusal`).
    """
    plays = will_play(restore_paused, is_playing=facts.is_playing) and facts.has_item
    if to_device_id == facts.active_device_id:
        effects: list[Effect] = [AnswerTransfer(asker=asker, result={"already_active": True})]
        if plays is not facts.is_playing and facts.has_item:
            effects.insert(0, AskPlayback(playing=plays))
        return None, effects
    handoff = Handoff(
        handoff_id=handoff_id,
        from_device_id=facts.active_device_id,
        to_device_id=to_device_id,
        if_device_epoch=facts.device_epoch,
        stage=Stage.PREPARING,
        deadline_at_ms=Millis(now_ms + DEADLINE_MS),
        will_play=plays,
        is_audible=facts.is_playing,
        speed=facts.speed,
        source_connected=facts.source_connected and facts.active_device_id is not None,
        source_rtt_ms=_or_unknown(facts.source_rtt_ms),
        target_rtt_ms=_or_unknown(facts.target_rtt_ms),
        waiting=(asker,),
    )
    if facts.has_item and facts.target_supports_prepare:
        return handoff, [_prepare(handoff), Publish(view=view(handoff)), WakeAt(at_ms=handoff.deadline_at_ms)]
    return _ask_commit(handoff, now_ms)


def _or_unknown(rtt_ms: float | None) -> float:
    return RTT_MS_UNKNOWN if rtt_ms is None else rtt_ms


def _prepare(handoff: Handoff) -> SendPrepare:
    return SendPrepare(
        attempt=handoff.attempt,
        will_play=handoff.will_play,
        deadline_at_ms=handoff.deadline_at_ms,
    )


# --- step -------------------------------------------------------------------------------------------


def step(handoff: Handoff, said: Input, now_ms: Millis) -> Step:
    """The next state and what to do; see the table above. Never raises, but for a transfer asked of a handoff
    that is over: that begins another."""
    if isinstance(said, TransferAsked):
        return _asked_again(handoff, said, now_ms)
    match handoff.stage:
        case Stage.PREPARING:
            return _preparing(handoff, said, now_ms)
        case Stage.COMMITTING:
            return _committing(handoff, said, now_ms)
        case Stage.COMMITTED:
            return _committed(handoff, said, now_ms)
        case Stage.DONE | Stage.ABORTED:
            return handoff, []
    assert_never(handoff.stage)


def _asked_again(handoff: Handoff, said: TransferAsked, now_ms: Millis) -> Step:
    assert not handoff.is_over, "a handoff that is over takes no transfers; begin another"
    if said.to_device_id != handoff.to_device_id:
        wait_ms = Millis(max(1, handoff.deadline_at_ms - now_ms))
        text = f"a transfer to {said.to_device_id} was asked for; one to {handoff.to_device_id} is under way"
        return handoff, [
            AnswerTransfer(
                asker=said.asker,
                code=Code.HANDOFF_IN_PROGRESS,
                message=text,
                result={"handoff_id": handoff.handoff_id, "to_device_id": handoff.to_device_id},
                retry_after_ms=wait_ms,
            )
        ]
    if handoff.stage is Stage.COMMITTED:
        return handoff, [AnswerTransfer(asker=said.asker, result=_outcome(handoff))]
    if said.asker in handoff.waiting:
        return handoff, []
    if len(handoff.waiting) >= WAITING_MAX:
        text = f"{WAITING_MAX} commands wait for this handoff already"
        return handoff, [
            AnswerTransfer(asker=said.asker, code=Code.BUSY, message=text, retry_after_ms=Millis(1_000))
        ]
    return _with(handoff, waiting=(*handoff.waiting, said.asker)), []


def _preparing(handoff: Handoff, said: Input, now_ms: Millis) -> Step:
    match said:
        case TargetReady(attempt=attempt, start_delay_ms=start_delay_ms):
            if attempt is not None and attempt != handoff.attempt:
                return handoff, []  # it answers a prepare that something has overtaken
            return _ask_commit(_with(handoff, start_delay_ms=start_delay_ms), now_ms)
        case TargetRefused():
            return _abort(handoff, "target_refused", tell_target=False, message=said.reason)
        case TargetLost():
            reason = "target_lost" if handoff.source_connected or not handoff.from_device_id else "both_lost"
            return _abort(handoff, reason, tell_target=False)
        case SourceLost():
            return _with(handoff, source_connected=False), []
        case SourceReturned():
            return _with(handoff, source_connected=handoff.from_device_id is not None), []
        case Changed():
            changed = _with(
                handoff,
                is_audible=said.is_playing,
                will_play=handoff.will_play if said.is_playing is handoff.is_audible else said.is_playing,
                speed=said.speed,
                attempt=min(handoff.attempt + 1, ATTEMPTS_MAX),
            )
            return changed, [_prepare(changed)] if changed.attempt > handoff.attempt else []
        case Stopped():
            return _abort(handoff, "stopped", tell_target=True)
        case ActiveChanged():
            return _abort(handoff, "superseded", tell_target=True)
        case DeadlineReached():
            if now_ms >= handoff.deadline_at_ms:
                return _abort(handoff, "deadline", tell_target=True)
            return handoff, [WakeAt(at_ms=handoff.deadline_at_ms)]
        case CommitDone() | Switched() | TransferAsked():
            return handoff, []
    assert_never(said)


def _ask_commit(handoff: Handoff, now_ms: Millis) -> Step:
    lead_ms = max(
        2 * max(_rtts_ms(handoff)), handoff.start_delay_ms + handoff.target_rtt_ms, float(LEAD_MS_MIN)
    )
    start_at_ms = Millis(now_ms + (int(min(lead_ms, LEAD_MS_MAX)) if _is_heard(handoff) else 0))
    asked = _with(
        handoff,
        stage=Stage.COMMITTING,
        commit_asked_ms=now_ms,
        deadline_at_ms=Millis(now_ms + COMMIT_WITHIN_MS),
        start_at_ms=start_at_ms,
    )
    ask = AskCommit(
        start_at_ms=start_at_ms,
        playing=asked.will_play,
        if_device_epoch=asked.if_device_epoch,
    )
    return asked, [Publish(view=view(asked)), ask, WakeAt(at_ms=asked.deadline_at_ms)]


def _committing(handoff: Handoff, said: Input, now_ms: Millis) -> Step:
    match said:
        case CommitDone(failed=None, playing=playing):
            return _commit(handoff if playing is None else _with(handoff, will_play=playing), now_ms)
        case CommitDone(failed=code):
            reason = "superseded" if code is Code.STALE_EPOCH else "store"
            return _abort(handoff, reason, tell_target=True)
        case SourceLost():
            return _with(handoff, source_connected=False), []
        case SourceReturned():
            return _with(handoff, source_connected=handoff.from_device_id is not None), []
        case Changed():
            # Only what the measurement needs: `playing` is in the commit, and it is on its way.
            return _with(handoff, is_audible=said.is_playing, speed=said.speed), []
        case DeadlineReached():
            if now_ms >= handoff.deadline_at_ms:
                return _abort(handoff, "store", tell_target=True, code=Code.TIMEOUT)
            return handoff, [WakeAt(at_ms=handoff.deadline_at_ms)]
        case _:
            return handoff, []


def _commit(handoff: Handoff, now_ms: Millis) -> Step:
    assert handoff.start_at_ms is not None, "the commit was asked for with an instant"
    on_the_way_ms = 0.0
    if _is_heard(handoff):
        # Both must hear of it before it comes.
        on_the_way_ms = min(max(*_rtts_ms(handoff), float(SHIFT_MS_MIN)), LEAD_MS_MAX)
    start_at_ms = Millis(max(handoff.start_at_ms, now_ms + int(on_the_way_ms)))
    committed = _with(
        handoff,
        stage=Stage.COMMITTED if handoff.will_play else Stage.DONE,
        start_at_ms=start_at_ms,
        deadline_at_ms=Millis(start_at_ms + SILENT_AFTER_MS),
        waiting=(),
    )
    effects: list[Effect] = [
        SendSwitch(
            start_at_ms=start_at_ms,
            playing=handoff.will_play,
            to_source=handoff.source_connected,
        )
    ]
    effects += [AnswerTransfer(asker=asker, result=_outcome(committed)) for asker in handoff.waiting]
    effects.append(Publish(view=view(committed)))
    if not committed.is_over:
        effects.append(WakeAt(at_ms=committed.deadline_at_ms))
    return committed, effects


def _committed(handoff: Handoff, said: Input, now_ms: Millis) -> Step:
    match said:
        case Switched():
            return _switched(handoff, said)
        case SourceLost():
            return _measured(_with(handoff, source_connected=False))
        case ActiveChanged():
            return _finish(_with(handoff, reason="superseded"))
        case DeadlineReached():
            if now_ms < handoff.deadline_at_ms:
                return handoff, [WakeAt(at_ms=handoff.deadline_at_ms)]
            return _finish(_with(handoff, reason=None if handoff.target_switched else "target_silent"))
        case _:
            return handoff, []


def _switched(handoff: Handoff, said: Switched) -> Step:
    """The first word of each end counts."""
    word = (said.at_ms, said.position_ms)
    if said.device_id == handoff.to_device_id and handoff.target_switched is None:
        return _measured(_with(handoff, target_switched=word))
    if said.device_id == handoff.from_device_id and handoff.source_switched is None:
        return _measured(_with(handoff, source_switched=word))
    return handoff, []


def _measured(handoff: Handoff) -> Step:
    """Done once the target has spoken, and the source too if it has something to say."""
    if handoff.target_switched is None:
        return handoff, []
    if not handoff.is_audible:
        return _finish(handoff)
    if handoff.source_switched is None:
        return (handoff, []) if handoff.source_connected else _finish(handoff)
    (target_at_ms, target_position_ms), (source_at_ms, source_position_ms) = (
        handoff.target_switched,
        handoff.source_switched,
    )
    assert handoff.start_at_ms is not None, "it is committed"
    gap_ms = target_at_ms - source_at_ms
    jump_ms = target_position_ms - (source_position_ms + gap_ms * handoff.speed)
    doubtful = (target_at_ms - handoff.start_at_ms, source_at_ms - handoff.start_at_ms, jump_ms)
    if max(map(abs, doubtful)) > MEASURE_MS_MAX:
        return _finish(handoff)
    done, effects = _finish(_with(handoff, gap_ms=gap_ms, jump_ms=jump_ms))
    return done, [Measured(gap_ms=gap_ms, jump_ms=jump_ms), *effects]


def _finish(handoff: Handoff) -> Step:
    done = _with(handoff, stage=Stage.DONE)
    return done, [Publish(view=view(done))]


def _abort(
    handoff: Handoff,
    reason: str,
    *,
    tell_target: bool,
    message: str = "",
    code: Code = Code.HANDOFF_FAILED,
) -> Step:
    text = f"the transfer to {handoff.to_device_id} was given up: {message or reason}"
    if code is Code.TIMEOUT:
        text = f"the transfer to {handoff.to_device_id} was not confirmed by the store in time"
    aborted = _with(handoff, stage=Stage.ABORTED, reason=reason, start_at_ms=None, waiting=())
    details: dict[str, object] = {"handoff_id": handoff.handoff_id, "reason": reason}
    effects: list[Effect] = [SendAbort(reason=reason)] if tell_target else []
    effects += [
        AnswerTransfer(asker=asker, code=code, message=text, result=details) for asker in handoff.waiting
    ]
    effects.append(Publish(view=view(aborted)))
    return aborted, effects


# --- small things -----------------------------------------------------------------------------------


def view(handoff: Handoff) -> frames.Handoff:
    """As frames carry it."""
    return frames.Handoff(
        handoff_id=handoff.handoff_id,
        from_device_id=handoff.from_device_id,
        to_device_id=handoff.to_device_id,
        phase=_PHASES[handoff.stage],
        deadline_at_ms=handoff.deadline_at_ms,
        # Until it is committed the instant is only meant.
        start_at_ms=handoff.start_at_ms if handoff.stage in _SETTLED else None,
        gap_ms=handoff.gap_ms,
        jump_ms=handoff.jump_ms,
        reason=handoff.reason,
    )


_SETTLED = (Stage.COMMITTED, Stage.DONE)
_PHASES = {
    Stage.PREPARING: Phase.PREPARING,
    Stage.COMMITTING: Phase.READY,
    Stage.COMMITTED: Phase.COMMITTED,
    Stage.DONE: Phase.DONE,
    Stage.ABORTED: Phase.ABORTED,
}


def _outcome(handoff: Handoff) -> dict[str, object]:
    return {"handoff_id": handoff.handoff_id, "start_at_ms": handoff.start_at_ms}


def _rtts_ms(handoff: Handoff) -> tuple[float, float]:
    """Of both ends; without a source the target's counts alone."""
    source_rtt_ms = handoff.source_rtt_ms if handoff.source_connected else 0.0
    return source_rtt_ms, handoff.target_rtt_ms


def _is_heard(handoff: Handoff) -> bool:
    """Whether the instant of the switch can be heard: something sounds before it or after it."""
    return handoff.will_play or handoff.is_audible


def _with(handoff: Handoff, **fields: object) -> Handoff:
    return msgspec.structs.replace(handoff, **fields)
