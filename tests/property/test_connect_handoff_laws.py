"""Handoffs in a bad world: messages lost, doubled, out of order, devices and stores that come and go.

A small world runs the machine: a session that commits or refuses, two devices that obey what they are sent.
Whatever happens to the messages, no two devices are ever told to sound, a failed handoff leaves the source
alone, every asker gets one answer, and it is over in bounded time.
"""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from connect.frames import Phase
from connect.handoff import (
    COMMIT_WITHIN_MS,
    DEADLINE_MS,
    LEAD_MS_MAX,
    SILENT_AFTER_MS,
    Facts,
    Handoff,
    Stage,
    begin,
    step,
)
from connect.handoff_messages import (
    ActiveChanged,
    AnswerTransfer,
    AskCommit,
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

A, B, C = DeviceId("dev-aaaa"), DeviceId("dev-bbbb"), DeviceId("dev-cccc")
START = 1_000_000
LONGEST_MS = DEADLINE_MS + COMMIT_WITHIN_MS + LEAD_MS_MAX + SILENT_AFTER_MS

FACTS = st.builds(
    Facts,
    active_device_id=st.sampled_from([A, A, A, None]),
    source_connected=st.booleans(),
    source_rtt_ms=st.none() | st.floats(0, 60_000),
    target_rtt_ms=st.none() | st.floats(0, 60_000),
    target_supports_prepare=st.booleans(),
    device_epoch=st.just(7),
    has_item=st.booleans(),
    is_playing=st.booleans(),
    speed=st.sampled_from([0.5, 1.0, 3.5]),
)
TIMES = st.floats(0, 2e12)
INPUTS: st.SearchStrategy[Input] = st.one_of(
    st.builds(TransferAsked, asker=st.sampled_from(["p", "q", "r"]), to_device_id=st.sampled_from([B, C])),
    st.builds(TargetReady, start_delay_ms=st.integers(0, 10_000), attempt=st.none() | st.integers(1, 9)),
    st.builds(TargetRefused, reason=st.just("no")),
    st.just(TargetLost()),
    st.just(SourceLost()),
    st.just(SourceReturned()),
    st.builds(Changed, is_playing=st.booleans()),
    st.just(Stopped()),
    st.just(ActiveChanged()),
    st.builds(Switched, device_id=st.sampled_from([A, B, C]), at_ms=TIMES, position_ms=TIMES),
    st.just(DeadlineReached()),
)
COMMITS = st.builds(
    CommitDone,
    failed=st.sampled_from([None, None, None, Code.STALE_EPOCH, Code.STORE_UNAVAILABLE]),
    playing=st.sampled_from([None, None, True, False]),
)


class World:
    """Delivers inputs, keeps what the machine asked for, and checks it as it goes."""

    def __init__(self, facts: Facts, restore: RestorePaused) -> None:
        self.now_ms = START
        self.facts = facts
        self.asked: Counter[str] = Counter({"first": 1})
        self.answered: Counter[str] = Counter()
        self.effects: list[Effect] = []
        self.commit_wanted = False
        self.wake_ms: int | None = None
        state, effects = begin(
            handoff_id=HandoffId("h"),
            to_device_id=B,
            restore_paused=restore,
            asker="first",
            facts=facts,
            now_ms=Millis(START),
        )
        assert state is not None
        self.state: Handoff = state
        self.take(effects)

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case AskCommit():
                    assert not self.all(AskCommit), "the session is asked once"
                    assert effect.start_at_ms >= self.now_ms
                    self.commit_wanted = True
                case SendSwitch():
                    assert not self.all(SendSwitch), "both ends get one instant, once"
                    assert effect.start_at_ms >= self.now_ms
                    assert effect.start_at_ms <= self.now_ms + LEAD_MS_MAX
                    assert not effect.to_source or self.facts.active_device_id is not None
                case SendAbort():
                    assert not self.all(SendSwitch), "what was committed is not called back"
                case AnswerTransfer(asker=asker):
                    self.answered[asker] += 1
                case Measured():
                    assert effect.gap_ms == effect.gap_ms
                    assert effect.jump_ms == effect.jump_ms
                case WakeAt(at_ms=at_ms):
                    self.wake_ms = at_ms
                case _:
                    pass
            self.effects.append(effect)

    def all(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def say(self, said: Input) -> None:
        before = self.state
        if isinstance(said, TransferAsked):
            if before.is_over or said.asker in before.waiting:
                return  # a new one begins; a repeated command is stopped by its id
            self.asked[said.asker] += 1
        self.state, effects = step(before, said, Millis(self.now_ms))
        if before.is_over:
            assert self.state == before
            assert effects == []
        if self.state.stage is not before.stage:
            assert (before.stage, self.state.stage) in MOVES
            assert any(isinstance(effect, Publish) for effect in effects)
        self.take(effects)

    def run_out(self) -> None:
        """Nobody says anything any more; only time passes."""
        for _ in range(10):
            if self.state.is_over:
                return
            assert self.wake_ms is not None
            self.now_ms = max(self.now_ms, self.wake_ms)
            self.say(DeadlineReached())


MOVES = {
    (Stage.PREPARING, Stage.COMMITTING),
    (Stage.PREPARING, Stage.ABORTED),
    (Stage.COMMITTING, Stage.COMMITTED),
    (Stage.COMMITTING, Stage.DONE),
    (Stage.COMMITTING, Stage.ABORTED),
    (Stage.COMMITTED, Stage.DONE),
}
SCRIPT = st.lists(st.tuples(st.integers(0, 3_000), INPUTS), max_size=12)


@given(
    FACTS,
    st.sampled_from(RestorePaused),
    SCRIPT,
    st.none() | st.tuples(st.integers(0, 6_000), COMMITS),
    SCRIPT,
)
def test_whatever_is_lost_doubled_or_late_a_handoff_ends_well(
    facts: Facts,
    restore: RestorePaused,
    before: list[tuple[int, Input]],
    commit: tuple[int, CommitDone] | None,
    after: list[tuple[int, Input]],
) -> None:
    world = World(facts, restore)
    committed = False

    def play(script: list[tuple[int, Input]]) -> None:
        for pause_ms, said in script:
            world.now_ms += pause_ms
            # The shell's timer fires in its time, whatever else happens.
            if world.wake_ms is not None and world.now_ms >= world.wake_ms:
                world.say(DeadlineReached())
            world.say(said)

    play(before)
    if commit is not None and world.commit_wanted:
        # Told twice: a repeated answer changes nothing.
        world.now_ms += commit[0]
        committed = commit[1].failed is None and world.state.stage is Stage.COMMITTING
        world.say(commit[1])
        world.say(commit[1])
    play(after)
    world.run_out()

    state = world.state
    assert state.is_over
    assert world.asked == world.answered, "everybody who asked got one answer"
    # The source hears of it only after the commit; then it does, if there was one to tell.
    switches = world.all(SendSwitch)
    assert len(switches) == committed
    if state.stage is Stage.ABORTED:
        assert not switches
        assert not world.all(Measured)
        assert state.reason is not None
    if world.all(Measured):
        assert state.stage is Stage.DONE
        assert state.gap_ms is not None
        assert facts.active_device_id == A
    oks = [one for one in world.all(AnswerTransfer) if isinstance(one, AnswerTransfer) and one.code is None]
    assert bool(oks) is committed
    published = [one.view.phase for one in world.all(Publish) if isinstance(one, Publish)]
    assert published[-1] is (Phase.ABORTED if state.stage is Stage.ABORTED else Phase.DONE)
    assert len(world.all(SendPrepare)) <= 8


@given(FACTS, st.sampled_from(RestorePaused), st.lists(INPUTS, max_size=20), st.booleans())
def test_a_handoff_is_over_in_bounded_time_when_nobody_answers(
    facts: Facts, restore: RestorePaused, inputs: list[Input], commits: bool
) -> None:
    world = World(facts, restore)
    for said in inputs:
        world.say(said)
    if world.commit_wanted and commits:
        world.say(CommitDone())
    world.run_out()
    assert world.state.is_over
    assert world.now_ms - START <= LONGEST_MS


WORDS: list[Input] = [
    Switched(device_id=A, at_ms=START + 151.0, position_ms=10.0),
    Switched(device_id=B, at_ms=START + 154.0, position_ms=13.0),
]


@given(FACTS, st.permutations(WORDS))
def test_the_order_of_the_two_words_makes_no_difference(facts: Facts, words: list[Input]) -> None:
    world = World(facts, RestorePaused.RESTORE)
    said: list[Input] = [TargetReady(start_delay_ms=0), CommitDone(), *words]
    for one in said:
        world.say(one)
    if world.all(Measured):
        assert world.state.gap_ms == 3.0
        assert world.state.jump_ms == 13.0 - (10.0 + 3.0 * facts.speed)
