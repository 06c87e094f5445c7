"""Handoffs one by one: each way they can go has its outcome."""

from typing import TypeVar

import pytest

from catalog.model import Codec
from connect import handoff as machine
from connect.device_rules import Joined, Left, decide
from connect.device_set import DeviceSet, apply
from connect.frames import Capabilities, DeviceInfo, Phase
from connect.handoff import ATTEMPTS_MAX, WAITING_MAX, Facts, Handoff, Stage, begin, step, will_play
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
from connect.transfer_plan import Offer, plan, refusal
from kernel.errors import Code, Disallowed
from kernel.ids import DeviceId, HandoffId
from kernel.units import Millis
from sessions.commands import RestorePaused

A, B, C = DeviceId("dev-aaaa"), DeviceId("dev-bbbb"), DeviceId("dev-cccc")
START = 1_000_000
One = TypeVar("One")


class Run:
    """A handoff from A to B with a clock, and everything it asked for."""

    def __init__(
        self,
        restore: RestorePaused = RestorePaused.RESTORE,
        *,
        to: DeviceId = B,
        active: DeviceId | None = A,
        playing: bool = True,
        item: bool = True,
        prepares: bool = True,
        source_connected: bool = True,
        source_rtt_ms: float | None = 4.0,
        target_rtt_ms: float | None = 10.0,
        speed: float = 1.0,
    ) -> None:
        self.now_ms = START
        self.effects: list[Effect] = []
        self.state, self.first = begin(
            handoff_id=HandoffId("h-1"),
            to_device_id=to,
            restore_paused=restore,
            asker="first",
            facts=Facts(
                active_device_id=active,
                source_connected=source_connected,
                source_rtt_ms=source_rtt_ms,
                target_rtt_ms=target_rtt_ms,
                target_supports_prepare=prepares,
                device_epoch=7,
                has_item=item,
                is_playing=playing,
                speed=speed,
            ),
            now_ms=Millis(START),
        )
        self.effects += self.first

    def say(self, *said: Input, after_ms: int = 0) -> list[Effect]:
        """Say these one after another; returns what the last led to."""
        self.now_ms += after_ms
        effects: list[Effect] = []
        for one in said:
            assert self.state is not None
            self.state, effects = step(self.state, one, Millis(self.now_ms))
            self.effects += effects
        return effects

    @property
    def handoff(self) -> Handoff:
        assert self.state is not None
        return self.state

    def all(self, kind: type[One]) -> list[One]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def one(self, kind: type[One]) -> One:
        (only,) = self.all(kind)
        return only


READY = TargetReady(start_delay_ms=20)
DONE = CommitDone()


def source_switched(at_ms: float, position_ms: float) -> Switched:
    return Switched(device_id=A, at_ms=at_ms, position_ms=position_ms)


def target_switched(at_ms: float, position_ms: float) -> Switched:
    return Switched(device_id=B, at_ms=at_ms, position_ms=position_ms)


# --- the good way ------------------------------------------------------------------------------------


def test_make_before_break_and_the_gap_is_measured() -> None:
    run = Run()
    assert run.one(SendPrepare).will_play
    assert not run.all(AskCommit)
    run.say(READY, after_ms=200)
    assert run.handoff.stage is Stage.COMMITTING
    ask = run.one(AskCommit)
    assert (ask.start_at_ms, ask.playing, ask.if_device_epoch) == (START + 200 + 150, True, 7)
    assert not run.all(SendSwitch)
    assert not run.all(AnswerTransfer)
    run.say(DONE, after_ms=3)
    switch = run.one(SendSwitch)
    assert (switch.start_at_ms, switch.playing, switch.to_source) == (ask.start_at_ms, True, True)
    answer = run.one(AnswerTransfer)
    assert (answer.asker, answer.code) == ("first", None)
    assert answer.result == {"handoff_id": "h-1", "start_at_ms": ask.start_at_ms}
    run.say(source_switched(ask.start_at_ms - 1.0, 60_000.0), after_ms=200)
    run.say(target_switched(ask.start_at_ms + 2.5, 60_004.0))
    measured = run.one(Measured)
    assert (measured.gap_ms, measured.jump_ms) == (3.5, 0.5)
    assert [publish.view.phase for publish in run.all(Publish)] == [
        Phase.PREPARING,
        Phase.READY,
        Phase.COMMITTED,
        Phase.DONE,
    ]
    assert run.all(Publish)[-1].view.gap_ms == 3.5


def test_a_jump_counts_what_the_speed_would_have_covered() -> None:
    run = Run(speed=2.0)
    run.say(READY, DONE)
    at = run.one(SendSwitch).start_at_ms
    run.say(target_switched(at + 10.0, 1_030.0), source_switched(at + 0.0, 1_000.0))
    assert (run.one(Measured).gap_ms, run.one(Measured).jump_ms) == (10.0, 10.0)


@pytest.mark.parametrize(
    ("source_rtt", "target_rtt", "delay", "lead"),
    [
        (4.0, 10.0, 20, 150),
        (200.0, 10.0, 20, 400),
        (4.0, 10.0, 700, 710),
        (None, None, 0, 150),
        (9e4, 1.0, 0, 5_000),
    ],
)
def test_the_instant_leaves_time_for_everybody(
    source_rtt: float | None, target_rtt: float | None, delay: int, lead: int
) -> None:
    run = Run(source_rtt_ms=source_rtt, target_rtt_ms=target_rtt)
    run.say(TargetReady(start_delay_ms=delay))
    assert run.one(AskCommit).start_at_ms == START + lead


@pytest.mark.parametrize(
    ("commit_ms", "start"), [(0, 150), (100, 150), (101, 151), (149, 199), (4_000, 4_050)]
)
def test_a_slow_commit_moves_the_instant_for_both_ends_alike(commit_ms: int, start: int) -> None:
    run = Run()
    run.say(READY)
    run.say(DONE, after_ms=commit_ms)
    assert run.one(SendSwitch).start_at_ms == START + start
    assert run.one(AnswerTransfer).result["start_at_ms"] == START + start
    assert run.all(Publish)[-1].view.start_at_ms == START + start


# --- the other ways ----------------------------------------------------------------------------------

BEFORE_COMMIT = [
    (TargetRefused(reason="busy"), 0, "target_refused", 0),
    (TargetLost(), 0, "target_lost", 0),
    (DeadlineReached(), 5_000, "deadline", 1),
    (Stopped(), 0, "stopped", 1),
    (ActiveChanged(), 0, "superseded", 1),
]


@pytest.mark.parametrize(("said", "after_ms", "reason", "aborts"), BEFORE_COMMIT)
def test_a_handoff_that_fails_before_the_commit_leaves_the_source_alone(
    said: Input, after_ms: int, reason: str, aborts: int
) -> None:
    run = Run()
    run.say(said, after_ms=after_ms)
    assert run.handoff.stage is Stage.ABORTED
    answer = run.one(AnswerTransfer)
    assert (answer.code, answer.result["reason"]) == (Code.HANDOFF_FAILED, reason)
    assert len(run.all(SendAbort)) == aborts
    assert not run.all(SendSwitch)
    assert not run.all(AskCommit)
    view = run.all(Publish)[-1].view
    assert (view.phase, view.reason, view.start_at_ms) == (Phase.ABORTED, reason, None)


def test_what_the_target_said_is_in_the_answer() -> None:
    run = Run()
    run.say(TargetRefused(reason="no audio output"))
    assert "no audio output" in run.one(AnswerTransfer).message


def test_a_wake_that_comes_too_early_asks_to_be_woken_again() -> None:
    run = Run()
    assert run.say(DeadlineReached(), after_ms=4_999) == [WakeAt(at_ms=Millis(START + 5_000))]
    assert run.handoff.stage is Stage.PREPARING


@pytest.mark.parametrize(
    ("failed", "reason"),
    [(Code.STORE_UNAVAILABLE, "store"), (Code.STALE_EPOCH, "superseded"), (Code.INTERNAL, "store")],
)
def test_a_commit_that_fails_leaves_the_source_alone(failed: Code, reason: str) -> None:
    run = Run()
    run.say(READY, CommitDone(failed=failed))
    assert run.handoff.stage is Stage.ABORTED
    assert run.one(SendAbort).reason == reason
    assert run.one(AnswerTransfer).code is Code.HANDOFF_FAILED
    assert not run.all(SendSwitch)


def test_a_commit_that_nobody_answers_is_given_up_with_its_outcome_unknown() -> None:
    run = Run()
    run.say(READY)
    run.say(DeadlineReached(), after_ms=5_000)
    assert run.handoff.stage is Stage.ABORTED
    assert run.one(AnswerTransfer).code is Code.TIMEOUT


def test_a_source_lost_while_preparing_is_not_waited_for() -> None:
    run = Run()
    run.say(SourceLost(), READY, DONE)
    assert not run.one(SendSwitch).to_source
    run.say(target_switched(START + 150.0, 1.0))
    assert run.handoff.stage is Stage.DONE
    assert not run.all(Measured)
    assert run.all(Publish)[-1].view.gap_ms is None


def test_a_source_that_comes_back_in_time_is_switched() -> None:
    run = Run()
    run.say(SourceLost(), SourceReturned(), READY, DONE)
    assert run.one(SendSwitch).to_source


def test_both_lost_is_given_up() -> None:
    run = Run()
    run.say(SourceLost(), TargetLost())
    assert run.one(AnswerTransfer).result["reason"] == "both_lost"


def test_a_target_lost_during_the_commit_is_active_and_silent() -> None:
    run = Run()
    run.say(READY, TargetLost(), DONE)
    assert run.one(AnswerTransfer).code is None
    wake = run.all(WakeAt)[-1]
    run.now_ms = wake.at_ms
    run.say(DeadlineReached())
    view = run.all(Publish)[-1].view
    assert (view.phase, view.reason) == (Phase.DONE, "target_silent")
    assert len(run.all(AskCommit)) == 1  # nothing starts by itself elsewhere


def test_a_target_that_speaks_and_a_source_that_does_not_is_no_silence() -> None:
    run = Run()
    run.say(READY, DONE, target_switched(START + 151.0, 1.0))
    assert run.handoff.stage is Stage.COMMITTED
    run.say(DeadlineReached(), after_ms=5_150)
    assert (run.handoff.stage, run.handoff.reason, run.handoff.gap_ms) == (Stage.DONE, None, None)


def test_a_broken_clock_gives_no_measurement() -> None:
    for at_ms, position_ms in ((0.0, 1.0), (START + 1e9, 1.0), (START + 150.0, 9e9)):
        run = Run()
        run.say(READY, DONE, source_switched(START + 150.0, 1.0), target_switched(at_ms, position_ms))
        assert run.handoff.stage is Stage.DONE
        assert not run.all(Measured)


def test_only_the_first_word_of_each_end_counts_and_strangers_have_none() -> None:
    run = Run()
    run.say(READY, DONE)
    run.say(Switched(device_id=C, at_ms=1.0, position_ms=1.0))
    run.say(source_switched(START + 150.0, 100.0), source_switched(START + 190.0, 140.0))
    run.say(target_switched(START + 152.0, 102.0), target_switched(START + 999.0, 1.0))
    assert (run.one(Measured).gap_ms, run.one(Measured).jump_ms) == (2.0, 0.0)


def test_a_second_transfer_to_another_device_is_told_to_wait() -> None:
    for said in ([], [READY], [READY, DONE]):
        run = Run()
        run.say(*said)
        answer = run.say(TransferAsked(asker="second", to_device_id=C))[0]
        assert isinstance(answer, AnswerTransfer)
        assert (answer.asker, answer.code) == ("second", Code.HANDOFF_IN_PROGRESS)
        assert answer.retry_after_ms is not None
        assert 0 < answer.retry_after_ms <= 5_150


def test_a_second_transfer_to_the_same_device_shares_the_answer() -> None:
    run = Run()
    run.say(TransferAsked(asker="second", to_device_id=B))
    assert not run.all(AnswerTransfer)
    assert len(run.all(SendPrepare)) == 1
    run.say(READY, DONE, TransferAsked(asker="third", to_device_id=B))
    answers = run.all(AnswerTransfer)
    assert [answer.asker for answer in answers] == ["first", "second", "third"]
    assert all(answer.result == answers[0].result and answer.code is None for answer in answers)


def test_not_everybody_can_wait_for_one_handoff() -> None:
    run = Run()
    for n in range(WAITING_MAX + 5):
        run.say(TransferAsked(asker=f"asker-{n}", to_device_id=B))
    assert len(run.handoff.waiting) == WAITING_MAX
    assert {answer.code for answer in run.all(AnswerTransfer)} == {Code.BUSY}


def test_a_transfer_to_the_active_device_changes_nothing() -> None:
    run = Run(to=A)
    assert run.state is None
    assert run.first == [AnswerTransfer(asker="first", result={"already_active": True})]


@pytest.mark.parametrize(
    ("restore", "playing", "asked"),
    [
        (RestorePaused.RESUME, False, True),
        (RestorePaused.PAUSE, True, False),
        (RestorePaused.RESTORE, False, None),
        (RestorePaused.RESUME, True, None),
    ],
)
def test_a_transfer_to_the_active_device_still_plays_or_pauses_as_asked(
    restore: RestorePaused, playing: bool, asked: bool | None
) -> None:
    run = Run(restore, to=A, playing=playing)
    assert [effect.playing for effect in run.all(AskPlayback)] == ([] if asked is None else [asked])


def test_a_transfer_while_paused_commits_without_an_audible_switch() -> None:
    run = Run(playing=False)
    assert not run.one(SendPrepare).will_play
    run.say(READY, DONE)
    assert run.one(AskCommit).start_at_ms == START
    assert run.handoff.stage is Stage.DONE
    assert run.handoff.gap_ms is None
    assert not run.one(SendSwitch).playing


def test_a_transfer_that_pauses_stops_the_source_at_an_instant() -> None:
    run = Run(RestorePaused.PAUSE)
    run.say(READY, DONE)
    switch = run.one(SendSwitch)
    assert (switch.playing, switch.to_source, switch.start_at_ms) == (False, True, START + 150)
    assert run.handoff.stage is Stage.DONE


def test_a_transfer_that_resumes_waits_for_the_target_and_measures_no_gap() -> None:
    run = Run(RestorePaused.RESUME, playing=False)
    run.say(READY, DONE)
    assert run.handoff.stage is Stage.COMMITTED
    run.say(target_switched(START + 151.0, 5.0))
    assert (run.handoff.stage, run.handoff.gap_ms) == (Stage.DONE, None)


def test_without_a_source_the_target_becomes_active() -> None:
    run = Run(active=None, playing=False, source_connected=False)
    run.say(SourceReturned(), READY, DONE)
    assert not run.one(SendSwitch).to_source
    assert run.handoff.from_device_id is None
    assert run.handoff.stage is Stage.DONE


@pytest.mark.parametrize(("item", "prepares"), [(False, True), (True, False)])
def test_what_cannot_be_prepared_is_committed_at_once(item: bool, prepares: bool) -> None:
    run = Run(item=item, playing=item, prepares=prepares)
    assert not run.all(SendPrepare)
    assert run.one(AskCommit).playing is item
    run.say(DONE)
    assert run.one(SendSwitch).start_at_ms == START + (150 if item else 0)


# --- while the listener goes on ----------------------------------------------------------------------


def test_a_skip_while_preparing_prepares_again_and_an_old_ready_does_not_count() -> None:
    run = Run()
    run.say(Changed(is_playing=True))
    assert [prepare.attempt for prepare in run.all(SendPrepare)] == [1, 2]
    assert {prepare.deadline_at_ms for prepare in run.all(SendPrepare)} == {START + 5_000}
    run.say(TargetReady(start_delay_ms=0, attempt=1))
    assert not run.all(AskCommit)
    run.say(TargetReady(start_delay_ms=0, attempt=2))
    assert run.handoff.stage is Stage.COMMITTING


def test_endless_skipping_does_not_prepare_endlessly() -> None:
    run = Run()
    for _ in range(50):
        run.say(Changed(is_playing=True))
    assert len(run.all(SendPrepare)) == ATTEMPTS_MAX
    run.say(TargetReady(start_delay_ms=0, attempt=ATTEMPTS_MAX))
    assert run.handoff.stage is Stage.COMMITTING


@pytest.mark.parametrize(
    ("restore", "playing", "changes", "plays"),
    [
        (RestorePaused.RESTORE, True, [False], False),
        (RestorePaused.RESTORE, False, [True], True),
        (RestorePaused.PAUSE, True, [True], False),
        (RestorePaused.PAUSE, True, [False, True], True),
        (RestorePaused.RESUME, False, [False], True),
        (RestorePaused.RESUME, True, [False], False),
    ],
)
def test_what_the_listener_did_last_decides_whether_the_target_plays(
    restore: RestorePaused, playing: bool, changes: list[bool], plays: bool
) -> None:
    run = Run(restore, playing=playing)
    run.say(*(Changed(is_playing=change) for change in changes), READY)
    assert run.one(AskCommit).playing is plays


def test_a_pause_that_overtakes_the_commit_wins() -> None:
    run = Run()
    run.say(READY, Changed(is_playing=False), CommitDone(playing=False))
    assert not run.one(SendSwitch).playing
    assert run.handoff.stage is Stage.DONE


def test_another_device_taking_over_after_the_commit_ends_it_without_a_complaint() -> None:
    run = Run()
    run.say(READY, DONE, ActiveChanged())
    assert (run.handoff.stage, run.handoff.reason) == (Stage.DONE, "superseded")
    assert run.say(DeadlineReached(), after_ms=60_000) == []


def test_whether_the_target_plays_is_asked_for_or_as_it_was() -> None:
    assert [will_play(one, is_playing=True) for one in RestorePaused] == [True, False, True]
    assert [will_play(one, is_playing=False) for one in RestorePaused] == [False, False, True]


def test_the_table_of_stages_has_a_phase_for_each() -> None:
    assert set(machine._PHASES) == set(Stage)


# --- the dry run -------------------------------------------------------------------------------------


def home(**can: object) -> DeviceSet:
    """A, B with these capabilities, and C, which has left."""
    state = DeviceSet()
    said: list[Joined | Left] = []
    for device_id in (A, B, C):
        capabilities = Capabilities(**can) if device_id == B else Capabilities()  # type: ignore[arg-type]  # by name
        info = DeviceInfo(device_id=device_id, name="x", capabilities=capabilities, volume_percent=30)
        said.append(Joined(info=info, nonce=f"nonce-{device_id}"))
    said.append(Left(device_id=C, nonce=f"nonce-{C}", clean=True))
    for one in said:
        for event in decide(state, one, active_device_id=A, now_ms=Millis(START)).events:
            state = apply(state, event)
    return state


OFFER = Offer(
    has_item=True,
    is_playing=True,
    will_play=True,
    codecs=frozenset({Codec.AAC}),
    codec=Codec.AAC,
    bitrate_kbps=160,
)


def dry_run(
    state: DeviceSet, to: DeviceId, offer: Offer = OFFER, *, in_progress: bool = False
) -> dict[str, object]:
    return plan(state, offer, to_device_id=to, active_device_id=A, sender_id=A, in_progress=in_progress)


def test_a_dry_run_says_what_it_would_be_like() -> None:
    assert dry_run(home(), B) == {
        "possible": True,
        "reasons": [],
        "already_active": False,
        "codec": Codec.AAC,
        "bitrate_kbps": 160,
        "expected_gap_ms": 0.0,
        "volume_percent": 30,
    }


def test_a_dry_run_says_why_not() -> None:
    assert dry_run(home(), C)["reasons"] == ["offline"]
    assert dry_run(home(), DeviceId("dev-none"))["reasons"] == ["unknown_device"]
    assert dry_run(home(can_be_player=False), B)["reasons"] == ["not_a_player"]
    assert dry_run(home(codecs=(Codec.VORBIS,)), B)["reasons"] == ["no_common_codec"]
    assert dry_run(home(is_controllable=False), B)["reasons"] == ["not_controllable"]
    assert dry_run(home(), B, in_progress=True)["reasons"] == ["handoff_in_progress"]
    assert not dry_run(home(), C)["possible"]


def test_a_dry_run_expects_a_gap_where_nothing_can_be_prepared_and_none_where_nothing_sounds() -> None:
    gap = dry_run(home(supports_prepare=False), B)["expected_gap_ms"]
    assert isinstance(gap, float)
    assert gap > 100
    paused = Offer(has_item=True, is_playing=False, will_play=False)
    assert dry_run(home(), B, paused)["expected_gap_ms"] is None


def test_a_real_transfer_is_refused_for_what_the_dry_run_said() -> None:
    def why(to: DeviceId, offer: Offer = OFFER, **can: object) -> object:
        return refusal(home(**can), offer, to_device_id=to, active_device_id=A, sender_id=A)

    assert why(B) is None
    assert why(A) is None
    for to in (C, DeviceId("dev-none")):
        fault = why(to)
        assert isinstance(fault, Exception)
        assert getattr(fault, "code", None) is Code.DEVICE_UNAVAILABLE
    fault = why(B, can_be_player=False)
    assert isinstance(fault, Disallowed)
    assert fault.details["reasons"] == ["not_a_player"]
    barred = Offer(
        has_item=True,
        is_playing=True,
        will_play=True,
        disallows={"transferring_playback": ("advertisement",)},
    )
    fault = why(B, barred)
    assert isinstance(fault, Disallowed)
    assert fault.details["reasons"] == ["advertisement"]
