"""Laws of a session, over random histories of commands, reports and devices.

The machine does whatever comes to its mind; the invariants are what must be true after each turn. Commands
that are refused are part of it: they must change nothing.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from client.state import merge
from kernel.errors import Disallowed, Rejected
from kernel.ids import DeviceId, Uid
from kernel.units import Millis
from sessions.apply import apply
from sessions.commands import (
    AddToQueue,
    ClearQueue,
    MoveInQueue,
    Pause,
    Play,
    PlayItem,
    RemoveFromQueue,
    Repeat,
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
from sessions.disallow import disallows
from sessions.events import Event, PlayheadNoted, QueueEdited, Started, is_durable
from sessions.inputs import (
    Advanced,
    CommitHandoff,
    Context,
    ContextChanged,
    DeviceLost,
    DeviceReturned,
    FillAutoplay,
    Input,
    Wake,
    World,
)
from sessions.order import items_of
from sessions.playhead import Status
from sessions.project import player_delta, player_state
from sessions.shuffle import permutation
from sessions.state import (
    AUTOPLAY_MAX,
    EDITS_MAX,
    HISTORY_MAX,
    PARKED_MAX,
    QUEUE_MAX,
    UNDO_MAX,
    ContextRef,
    Session,
    Shuffle,
)
from sessions.upcoming import autoplay_seeds, upcoming, wake_at_ms, wants_autoplay
from sessions.view import PlayerState
from tests.support.listening import (
    ALBUM,
    KITCHEN,
    OTHER_ALBUM,
    PHONE,
    USER,
    Listening,
    a_candidate,
    a_context,
    an_item,
    track,
)

NAMES = [*"abcdefgh", "i!", "j!", "s?", "t?"]
ACTION_OF: dict[type[SessionCommand], str] = {
    Pause: "pausing",
    Resume: "resuming",
    SeekTo: "seeking",
    SkipNext: "skipping_next",
    SkipPrev: "skipping_prev",
    SetShuffle: "toggling_shuffle",
    SetSpeed: "setting_speed",
    Undo: "undoing",
    RestoreQueue: "restoring_queue",
}
contexts = st.lists(st.sampled_from(NAMES), max_size=9, unique_by=lambda name: name[0])
uris = st.lists(st.sampled_from(NAMES).map(track), min_size=1, max_size=6).map(tuple)
devices = st.sampled_from([KITCHEN, PHONE, DeviceId("car-of-ada")])
waits = st.sampled_from([0, 10, 500, 2_900, 3_100, 60_000, 199_000, 230_000])


class Sessions(RuleBasedStateMachine):
    """One session, its contexts, three devices, time that passes."""

    it: Listening

    @initialize(first=contexts, second=contexts, seed=st.integers(0, 2**63 - 1))
    def begin(self, first: list[str], second: list[str], seed: int) -> None:
        self.it = Listening(
            # The same track twice, under two keys.
            Context(
                uri=ALBUM, revision="1", items=(*a_context(first).items, an_item("twin", uri=track("a")))
            ),
            a_context(second, uri=OTHER_ALBUM),
            seed=seed,
        )
        self.revision = 1
        self.uids: dict[Uid, str] = {}
        self.plays: set[str] = set()
        self.epoch = 0

    # --- one turn, with what holds for each ----------------------------------------------------------

    def do(self, command: SessionCommand | Input, **world: Any) -> list[Event]:
        it, before, shown = self.it, self.it.session, self.it.state
        context = it.context
        action = self.action_of(command)
        prefetched = upcoming(before, context)
        try:
            events = it.do(command, **world)
        except Disallowed as disallowed:
            self.is_as_shown(disallowed, action, shown)
            assert it.session == before
            return []
        except Rejected:
            assert it.session == before
            return []
        if action is not None and not self.is_late(command, before):
            assert action not in shown.disallows, "what is listed is refused"
        delta = player_delta(events, it.session, self.context_after(command), now_ms=it.now_ms)
        if not isinstance(command, ContextChanged):
            assert merge(shown, delta) == it.state
        if not any(is_durable(event) for event in events):
            assert it.session == msgspec.structs.replace(before, playhead=it.session.playhead)
        self.note(events, prefetched)
        return events

    @staticmethod
    def is_as_shown(disallowed: Disallowed, action: str | None, shown: PlayerState) -> None:
        assert action is not None
        assert disallowed.details == {"action": action, "reasons": list(shown.disallows[action])}

    def context_after(self, command: SessionCommand | Input) -> Context | None:
        return command.context if isinstance(command, ContextChanged) else self.it.context

    def action_of(self, command: SessionCommand | Input) -> str | None:
        if isinstance(command, SetRepeat):
            is_track = Repeat.TRACK in (command.repeat, self.it.session.repeat)
            return "toggling_repeat_track" if is_track else "toggling_repeat_context"
        return next((name for kind, name in ACTION_OF.items() if isinstance(command, kind)), None)

    @staticmethod
    def is_late(command: SessionCommand | Input, before: Session) -> bool:
        if not isinstance(command, SkipNext | SkipPrev) or command.from_uid is None:
            return False
        return before.current is None or before.current.uid != command.from_uid

    def note(self, events: Iterable[Event], prefetched: tuple[Any, ...]) -> None:
        for event in events:
            if isinstance(event, Started):
                assert event.play_id not in self.plays, "a play id is used once"
                self.plays.add(event.play_id)
                for item, play_id in prefetched[:1]:
                    if event.item.uid == item.uid:
                        assert event.play_id == play_id
            if isinstance(event, QueueEdited) and event.op == "add":
                for placement in event.put:
                    assert placement.item.uid not in self.uids, "a uid is never used again"

    # --- what a listener does ------------------------------------------------------------------------

    @rule(ms=waits)
    def wait(self, ms: int) -> None:
        self.it.now_ms = Millis(self.it.now_ms + ms)

    @rule(
        other=st.booleans(),
        index=st.none() | st.integers(0, 9),
        shuffle=st.none() | st.booleans(),
        at=devices,
    )
    def play(self, other: bool, index: int | None, shuffle: bool | None, at: DeviceId) -> None:
        uri = OTHER_ALBUM if other else ALBUM
        self.do(Play(context_uri=uri, offset_index=index, shuffle=shuffle), device_id=at)

    @rule(tracks=uris, at=devices, named=st.booleans())
    def play_tracks(self, tracks: tuple[Any, ...], at: DeviceId, named: bool) -> None:
        self.do(Play(uris=tracks, device_id=at if named else None), device_id=at)

    @rule(command=st.sampled_from([Pause(), Resume(), SkipNext(), SkipPrev()]))
    def press(self, command: SessionCommand) -> None:
        self.do(command)

    @rule(position=st.integers(0, 250_000))
    def seek(self, position: int) -> None:
        self.do(SeekTo(position_ms=Millis(position)))

    @rule(kind=st.sampled_from([SkipNext, SkipPrev]))
    def tap_twice(self, kind: type[SkipNext] | type[SkipPrev]) -> None:
        if self.it.session.current is None:
            return
        command = kind(from_uid=self.it.uid)
        before = self.it.session.play_count
        self.do(command)
        left = self.it.session
        self.do(SkipNext(from_uid=command.from_uid))
        if left.play_count > before:
            assert self.it.session == left, "a doubled skip skips once"

    @rule(data=st.data())
    def jump(self, data: st.DataObject) -> None:
        shown = [*self.it.state.next_tracks, *self.it.state.prev_tracks]
        if shown:
            wanted = data.draw(st.sampled_from(shown))
            before = self.it.session.play_count
            self.do(PlayItem(uid=wanted.uid))
            if self.it.session.play_count > before:
                assert self.it.uid == wanted.uid

    @rule(shuffle=st.booleans())
    def shuffle(self, shuffle: bool) -> None:
        self.do(SetShuffle(shuffle=shuffle))

    @rule(repeat=st.sampled_from(Repeat))
    def repeat(self, repeat: Repeat) -> None:
        self.do(SetRepeat(repeat=repeat))

    @rule(speed=st.sampled_from([0.5, 1.0, 1.5, 3.5]))
    def speed(self, speed: float) -> None:
        self.do(SetSpeed(speed=speed))

    @rule(tracks=uris, play_next=st.booleans())
    def add(self, tracks: tuple[Any, ...], play_next: bool) -> None:
        self.do(AddToQueue(uris=tracks, play_next=play_next))

    @rule(data=st.data(), what=st.sampled_from(["remove", "move", "add behind"]))
    def edit(self, data: st.DataObject, what: str) -> None:
        lanes = [item.uid for item in (*self.it.session.queue, *self.it.session.autoplay)]
        if not lanes:
            return
        some = tuple(data.draw(st.lists(st.sampled_from(lanes), min_size=1, max_size=4)))
        one = data.draw(st.none() | st.sampled_from(lanes))
        match what:
            case "remove":
                self.do(RemoveFromQueue(uids=some))
            case "move":
                self.do(MoveInQueue(uids=some, after_uid=one))
            case _:
                self.do(AddToQueue(uris=(track("a"),), after_uid=one))

    @rule()
    def clear(self) -> None:
        self.do(ClearQueue())

    @rule()
    def undo(self) -> None:
        self.do(Undo())

    @rule()
    def undo_after_an_edit_is_as_if_nothing_had_been(self) -> None:
        before = self.it.session
        events = self.do(AddToQueue(uris=(track("a"), track("b")), play_next=True))
        if events:
            self.do(Undo())
            assert lanes_of(self.it.session) == lanes_of(before)

    @rule()
    def restore(self) -> None:
        self.do(RestoreQueue())

    @rule()
    def restore_twice_is_as_if_nothing_had_been(self) -> None:
        before, position, parked = self.it.session, self.it.position, self.it.session.parked
        if parked:
            self.do(RestoreQueue())
            self.do(RestoreQueue())
            assert lanes_of(self.it.session) == lanes_of(before)
            assert (self.it.session.current, self.it.position) == (before.current, position)
            if self.is_current(parked[-1].context):
                assert self.it.session.parked == parked

    def is_current(self, ref: ContextRef | None) -> bool:
        """Parked in the revision of today. An older one comes back in the newer, and stays so."""
        resolved = self.it.resolve(ref)
        return ref is None or resolved is None or resolved.revision == ref.revision

    @rule(ms=st.sampled_from([None, 1_000, 100_000]), end=st.booleans())
    def sleep(self, ms: int | None, end: bool) -> None:
        self.do(SetSleepTimer(duration_ms=None if ms is None else Millis(ms), end_of_track=end))

    # --- what devices and the server do --------------------------------------------------------------

    @rule(
        state=st.sampled_from(["playing", "paused", "buffering", "ended"]),
        position=st.integers(0, 250_000),
        ago=st.integers(-1_000, 90_000),
        stale=st.booleans(),
        error=st.sampled_from([None, None, None, "no bytes"]),
    )
    def report(self, state: str, position: int, ago: int, stale: bool, error: str | None) -> None:
        if self.it.session.play_id is None:
            return
        version = self.it.session.playhead.version - stale
        said = self.it.report(
            state, position, measured_at_ms=self.it.now_ms - ago, playhead_version=version, error=error
        )
        before = self.it.session
        self.do(said)
        if stale:
            assert self.it.session == before

    @rule(doubled=st.booleans())
    def advance(self, doubled: bool) -> None:
        session, ahead = self.it.session, upcoming(self.it.session, self.it.context)
        if session.current is None or not ahead or session.active_device_id is None:
            return
        (item, play_id), *_ = ahead
        report = Advanced(
            device_id=session.active_device_id,
            device_epoch=session.device_epoch,
            from_uid=self.it.uid,
            to_uid=item.uid,
            play_id=play_id,
            position_ms=Millis(20),
            measured_at_ms=self.it.now_ms,
        )
        self.do(report)
        assert self.it.session.play_id == play_id
        if doubled:
            assert self.do(report) == []

    @rule(to=devices, plays=st.booleans(), late=st.booleans())
    def hand_over(self, to: DeviceId, plays: bool, late: bool) -> None:
        session = self.it.session
        before = self.it.position
        self.do(
            CommitHandoff(
                handoff_id=f"h{session.device_epoch}",
                from_device_id=session.active_device_id,
                to_device_id=to,
                if_device_epoch=session.device_epoch - late,
                start_at_ms=Millis(self.it.now_ms + 300),
                playing=plays,
            )
        )
        if session.playhead.is_playing is plays and self.it.session.playhead.speed:
            assert self.it.position == before, "the switch does not move the music"

    @rule(lost=devices, release=st.booleans())
    def lose(self, lost: DeviceId, release: bool) -> None:
        self.do(DeviceLost(device_id=lost, last_seen_ms=Millis(self.it.now_ms - 20_000), release=release))

    @rule(back=devices)
    def come_back(self, back: DeviceId) -> None:
        self.do(DeviceReturned(device_id=back))

    @rule(names=contexts, other=st.booleans())
    def change_context(self, names: list[str], other: bool) -> None:
        uri = OTHER_ALBUM if other else ALBUM
        self.revision += 1
        newer = a_context(names, uri=uri, revision=str(self.revision))
        before = self.it.session
        self.do(ContextChanged(context=newer))
        self.it.contexts[uri] = newer
        assert self.it.session.current == before.current, "what plays stays"

    @rule(count=st.integers(1, 40))
    def fill(self, count: int) -> None:
        self.do(FillAutoplay(candidates=tuple(a_candidate(f"auto{n}") for n in range(count))))

    @rule()
    def wake(self) -> None:
        due = wake_at_ms(self.it.session)
        if due is None:
            assert self.do(Wake()) == []
        else:
            self.it.now_ms = max(self.it.now_ms, due)
            assert self.do(Wake()) != []

    # --- what is always true -------------------------------------------------------------------------

    @invariant()
    def exactly_one_of_playing_paused_and_stopped(self) -> None:
        session, state = self.it.session, self.it.state
        assert not (state.is_playing and state.is_paused)
        assert (session.playhead.status is Status.STOPPED) == (session.current is None)
        assert (session.current is None) == (session.play_id is None)
        assert state.is_playing or not state.is_buffering
        assert state.is_playing or state.playback_speed == 0

    @invariant()
    def what_plays_plays_on_a_device(self) -> None:
        if self.it.state.is_playing:
            assert self.it.session.active_device_id is not None

    @invariant()
    def the_position_is_in_the_track(self) -> None:
        assert 0 <= self.it.position <= self.it.session.duration_ms

    @invariant()
    def the_device_epoch_never_goes_back_and_names_one_device(self) -> None:
        session = self.it.session
        assert session.device_epoch >= self.epoch
        self.epoch = session.device_epoch

    @invariant()
    def uids_are_unique_and_always_mean_the_same_track(self) -> None:
        session, state = self.it.session, self.it.state
        ahead = [item.uid for item in state.next_tracks]
        assert len(set(ahead)) == len(ahead)
        if session.current is not None:
            assert session.current.uid not in ahead
        for item in (*state.next_tracks, *state.prev_tracks, *([state.track] if state.track else [])):
            assert self.uids.setdefault(item.uid, item.uri) == item.uri

    @invariant()
    def everything_is_bounded(self) -> None:
        session = self.it.session
        assert len(session.queue) <= QUEUE_MAX
        assert len(session.autoplay) <= AUTOPLAY_MAX
        assert len(session.history) <= HISTORY_MAX
        assert len(session.parked) <= PARKED_MAX
        assert len(session.undo) <= UNDO_MAX
        assert len(session.edits) <= EDITS_MAX

    @invariant()
    def nothing_shown_to_come_may_not_be_played(self) -> None:
        assert not any(name.endswith("!") for name in self.it.coming)

    @invariant()
    def a_snapshot_brings_everything_back(self) -> None:
        data = msgspec.msgpack.encode(self.it.session)
        assert msgspec.msgpack.decode(data, type=Session) == self.it.session

    @invariant()
    def questions_are_always_answered(self) -> None:
        session, context = self.it.session, self.it.context
        if wants_autoplay(session, context):
            assert session.repeat is Repeat.OFF
        assert len(autoplay_seeds(session, context)) <= 5
        assert disallows(session, context) == self.it.state.disallows

    def teardown(self) -> None:
        if hasattr(self, "it"):
            assert self.it.replayed(self.it.log) == self.it.session, "a replay gives what was live"
            written_behind = PlayheadNoted(playhead=self.it.session.playhead)
            stored = self.it.replayed(self.it.short_log)
            assert apply(stored, written_behind) == self.it.session, "and so does what is stored of it"


def lanes_of(session: Session) -> tuple[Any, ...]:
    return session.queue, session.autoplay, session.context, session.shuffle, session.repeat


TestSessions = Sessions.TestCase
TestSessions.settings = settings(stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])


# --- laws of single parts ----------------------------------------------------------------------------


@given(
    keys=st.lists(st.text(max_size=4), unique=True, max_size=60),
    seed=st.integers(0, 2**63 - 1),
    data=st.data(),
)
def test_a_shuffle_is_a_permutation_that_an_insert_does_not_disturb(
    keys: list[str], seed: int, data: st.DataObject
) -> None:
    pin = data.draw(st.none() | st.sampled_from(keys)) if keys else None
    shuffle = Shuffle(seed=seed, pin=pin)
    items = tuple(an_item(key) for key in keys)
    order = [keys[index] for index in permutation(items, shuffle, 0).order]
    assert sorted(order) == sorted(keys)
    assert pin is None or order[0] == pin
    at = data.draw(st.integers(0, len(keys)))
    more = (*items[:at], an_item("a new one"), *items[at:])
    again = [more[index].key for index in permutation(more, shuffle, 0).order]
    assert [key for key in again if key != "a new one"] == order


@given(
    count=st.integers(2, 40),
    start=st.integers(0, 39),
    skips=st.integers(0, 5),
    seed=st.integers(0, 2**63 - 1),
)
def test_shuffle_then_unshuffle_is_the_identity(count: int, start: int, skips: int, seed: int) -> None:
    it = Listening(a_context([f"k{n}" for n in range(count)]), seed=seed)
    it.do(Play(context_uri=ALBUM, offset_index=start % count))
    for _ in range(skips):
        if it.coming:
            it.do(SkipNext())
    before = it.state
    it.do(SetShuffle(shuffle=True))
    it.do(SetShuffle(shuffle=False))
    after = it.state
    assert (after.track, after.next_tracks, after.prev_tracks) == (
        before.track,
        before.next_tracks,
        before.prev_tracks,
    )


@given(
    count=st.integers(1, 60), seed=st.integers(0, 2**63 - 1), toggles=st.lists(st.integers(0, 10), max_size=3)
)
def test_whatever_is_shuffled_when_each_item_is_still_played(
    count: int, seed: int, toggles: list[int]
) -> None:
    """With shuffle turned on once, all items of a context are heard exactly once."""
    it = Listening(a_context([f"k{n}" for n in range(count)]), seed=seed)
    it.do(Play(context_uri=ALBUM, shuffle=True))
    heard = []
    while it.playing is not None:
        heard.append(it.playing)
        it.do(it.report("ended", 1))
    assert it.session.context is not None
    assert sorted(heard) == sorted(item.key for item in items_of(it.session.context, it.context))


@given(data=st.data(), names=st.lists(st.sampled_from("pqrstuvw"), min_size=1, max_size=10))
def test_undo_after_any_edit_gives_the_lanes_back(data: st.DataObject, names: list[str]) -> None:
    it = Listening(a_context("abc"))
    it.do(Play(context_uri=ALBUM, offset_index=2))
    it.do(AddToQueue(uris=tuple(track(name) for name in names)))
    it.do(FillAutoplay(candidates=tuple(a_candidate(f"auto{n}") for n in range(4))))
    uids = [item.uid for item in it.session.queue]
    autoplay = [item.uid for item in it.session.autoplay]
    some = st.lists(st.sampled_from([*uids, *autoplay]), min_size=1, unique=True).map(tuple)
    one = st.none() | st.sampled_from(uids)
    edits: list[Callable[[], SessionCommand]] = [
        lambda: RemoveFromQueue(uids=data.draw(some)),
        lambda: MoveInQueue(uids=data.draw(some), after_uid=data.draw(one)),
        lambda: AddToQueue(uris=(track("x"), track("y")), after_uid=data.draw(one)),
        ClearQueue,
        lambda: SetShuffle(shuffle=True),
        lambda: SetRepeat(repeat=Repeat.CONTEXT),
    ]
    before = lanes_of(it.session)
    done = 0
    for edit in data.draw(st.lists(st.sampled_from(edits), min_size=1, max_size=5)):
        try:
            done += bool(it.do(edit()))
        except Rejected:
            continue
    for _ in range(done):
        it.do(Undo())
    assert lanes_of(it.session) == before


@given(contexts)
def test_going_on_and_back_gives_the_lanes_back(names: list[str]) -> None:
    it = Listening(a_context([*names, "z"]))
    it.do(AddToQueue(uris=(track("p"), track("q"))))
    it.do(Play(context_uri=ALBUM))
    states = [(it.state.track, it.state.next_tracks, it.state.prev_tracks)]
    while "skipping_next" not in it.state.disallows:
        it.do(SkipNext())
        states.append((it.state.track, it.state.next_tracks, it.state.prev_tracks))
    while len(states) > 1:
        assert states.pop() == (it.state.track, it.state.next_tracks, it.state.prev_tracks)
        it.do(SkipPrev())
    assert states == [(it.state.track, it.state.next_tracks, it.state.prev_tracks)]


def test_a_world_without_its_context_is_survived() -> None:
    it = Listening(a_context("abc"))
    it.do(Play(context_uri=ALBUM))
    it.contexts.clear()
    with pytest.raises(Disallowed):
        it.do(SkipNext())
    assert player_state(it.session, None, now_ms=it.now_ms).track is not None
    assert World().context is None
    assert it.session.user_id == USER
