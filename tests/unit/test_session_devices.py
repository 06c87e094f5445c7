"""Reports, gapless advances, handoffs, lost devices, timers, autoplay."""

import pytest

from kernel.errors import Code, Disallowed, Rejected
from kernel.ids import CommandId, DeviceId, PlayId
from kernel.units import Millis
from sessions.commands import (
    AddToQueue,
    Pause,
    Play,
    PlayItem,
    RemoveFromQueue,
    Repeat,
    SeekTo,
    SetRepeat,
    SetShuffle,
    SetSleepTimer,
    SkipNext,
    SkipPrev,
    Undo,
)
from sessions.events import (
    Event,
    HandedOff,
    Paused,
    PositionNoted,
    Resumed,
    Started,
    is_durable,
)
from sessions.inputs import (
    Advanced,
    CommitHandoff,
    DeviceLost,
    DeviceReturned,
    FillAutoplay,
    HandoffMeasured,
    Wake,
)
from sessions.playhead import Status
from sessions.replies import KEPT_MS, REPLIES_MAX, recall, remember
from sessions.state import AUTOPLAY_MAX, HISTORY_MAX
from sessions.transport import ERRORS_MAX
from sessions.upcoming import autoplay_seeds, upcoming, wake_at_ms, wants_autoplay
from tests.support.listening import (
    ALBUM,
    KITCHEN,
    PHONE,
    TRACK_MS,
    Listening,
    a_candidate,
    a_context,
    track,
)


def playing(keys: str = "abcd", index: int = 0) -> Listening:
    it = Listening(a_context(keys))
    it.do(Play(context_uri=ALBUM, offset_index=index))
    return it


def gone_on(it: Listening, *, position: int = 40) -> Advanced:
    """What a gapless device says after it went on by itself."""
    (item, play_id), *_ = upcoming(it.session, it.context)
    return Advanced(
        device_id=KITCHEN,
        device_epoch=it.session.device_epoch,
        from_uid=it.uid,
        to_uid=item.uid,
        play_id=play_id,
        position_ms=Millis(position),
        measured_at_ms=it.now_ms,
    )


# --- reports -----------------------------------------------------------------------------------------


def test_a_report_within_a_tenth_of_a_second_says_nothing_new() -> None:
    it = playing()
    assert it.do(it.report("playing", 5_100), after_ms=0) != []
    it = playing()
    it.now_ms = Millis(it.now_ms + 5_000)
    assert it.do(it.report("playing", 5_100)) == []
    assert it.do(it.report("playing", 4_900)) == []
    (noted,) = it.do(it.report("playing", 5_101))
    assert isinstance(noted, PositionNoted)
    assert it.position == 5_101
    assert not is_durable(noted)


def test_while_buffering_the_position_stands() -> None:
    it = playing()
    it.do(it.report("buffering", 1_000))
    it.now_ms = Millis(it.now_ms + 5_000)
    assert (it.position, it.state.playback_speed, it.state.is_playing) == (1_000, 0, True)
    it.do(it.report("playing", 1_000))
    it.now_ms = Millis(it.now_ms + 5_000)
    assert it.position == 6_000


def test_a_gesture_at_the_device_changes_the_state_and_the_device_is_not_told_to_obey() -> None:
    it = playing()
    version = it.session.playhead.version
    (paused,) = it.do(it.report("paused", 3_000))
    assert isinstance(paused, Paused)
    assert (it.position, it.state.is_paused) == (3_000, True)
    (resumed,) = it.do(it.report("playing", 3_000))
    assert isinstance(resumed, Resumed)
    assert it.state.is_playing
    assert it.session.playhead.version == version


def test_a_report_made_before_the_newest_command_reached_the_device_is_ignored() -> None:
    it = playing()
    late = it.report("playing", 9_000)
    it.do(SeekTo(position_ms=Millis(60_000)))
    assert it.do(late) == []
    assert it.position == 60_000


def test_a_report_of_an_older_play_is_ignored() -> None:
    it = playing()
    late = it.report("ended", TRACK_MS)
    it.do(SkipNext())
    assert it.do(late) == []
    assert it.playing == "b"


@pytest.mark.parametrize(
    ("device_id", "epoch", "code"), [(KITCHEN, 0, Code.STALE_EPOCH), (PHONE, 1, Code.NOT_ACTIVE)]
)
def test_only_the_active_device_of_this_epoch_is_believed(
    device_id: DeviceId, epoch: int, code: Code
) -> None:
    it = playing()
    with pytest.raises(Rejected) as rejected:
        it.do(it.report("paused", 0, device_id=device_id, device_epoch=epoch))
    assert rejected.value.code is code
    with pytest.raises(Rejected) as rejected:
        it.do(
            Advanced(
                device_id=device_id,
                device_epoch=epoch,
                from_uid=it.uid,
                to_uid=it.uid,
                play_id=PlayId("p"),
                position_ms=Millis(0),
                measured_at_ms=it.now_ms,
            )
        )
    assert rejected.value.code is code


@pytest.mark.parametrize(
    ("measured_ago_ms", "position"), [(-5_000, 10_000), (61_000, 70_000), (2_000, 12_000)]
)
def test_a_measurement_is_neither_of_the_future_nor_older_than_a_minute(
    measured_ago_ms: int, position: int
) -> None:
    it = playing()
    it.do(it.report("playing", 10_000, measured_at_ms=it.now_ms - measured_ago_ms))
    assert it.position == position


def test_a_report_with_an_unknown_state_is_refused() -> None:
    it = playing()
    with pytest.raises(Rejected) as rejected:
        it.do(it.report("dancing", 0))
    assert rejected.value.code is Code.BAD_REQUEST


def test_an_item_that_fails_is_passed_and_the_history_says_why() -> None:
    it = playing("ab")
    it.do(SetRepeat(repeat=Repeat.TRACK))
    it.do(it.report("ended", 0, error="decode error"))
    assert (it.playing, it.session.history[-1].error) == ("b", "decode error")


def test_five_failures_in_a_row_stop_and_one_success_begins_the_count_again() -> None:
    it = playing("abcdefghijkl")
    for _ in range(ERRORS_MAX - 1):
        it.do(it.report("ended", 0, error="gone"))
    it.do(it.report("ended", TRACK_MS))
    for _ in range(ERRORS_MAX - 1):
        it.do(it.report("ended", 0, error="gone"))
        assert it.session.playhead.status is Status.PLAYING
    it.do(it.report("ended", 0, error="gone"))
    assert (it.session.playhead.status, it.session.stop_reason) == (Status.STOPPED, "too_many_errors")


# --- gapless -----------------------------------------------------------------------------------------


def test_a_device_that_went_on_by_itself_is_followed_and_not_told_to_start() -> None:
    it = playing()
    version = it.session.playhead.version
    report = gone_on(it)
    it.do(report, after_ms=TRACK_MS)
    assert (it.playing, it.session.play_id) == ("b", report.play_id)
    assert it.session.playhead.version == version
    assert it.do(report) == []
    assert it.playing == "b"


def test_a_device_that_went_somewhere_else_is_not_followed() -> None:
    it = playing()
    report = gone_on(it)
    it.do(AddToQueue(uris=(track("q"),)))
    assert it.do(report) == []
    assert it.playing == "a"


def test_repeat_track_advances_from_an_item_to_itself_once() -> None:
    it = playing()
    it.do(SetRepeat(repeat=Repeat.TRACK))
    report = gone_on(it)
    assert report.to_uid == report.from_uid
    it.do(report)
    assert it.session.play_id == report.play_id
    assert it.do(report) == []


def test_the_play_ids_that_were_prefetched_are_those_that_are_played() -> None:
    it = playing()
    it.do(AddToQueue(uris=(track("q"),)))
    expected = upcoming(it.session, it.context)
    assert [item.uri for item, _ in expected] == [track("q"), track("b"), track("c")]
    for item, play_id in expected:
        it.do(it.report("ended", TRACK_MS))
        assert (it.uid, it.session.play_id) == (item.uid, play_id)


# --- handoff -----------------------------------------------------------------------------------------


def commit(it: Listening, *, playing: bool = True, epoch: int | None = None) -> CommitHandoff:
    return CommitHandoff(
        handoff_id="handoff-1",
        from_device_id=KITCHEN,
        to_device_id=PHONE,
        if_device_epoch=it.session.device_epoch if epoch is None else epoch,
        start_at_ms=Millis(it.now_ms + 500),
        playing=playing,
    )


def test_a_handoff_changes_the_device_and_not_the_music() -> None:
    it = playing()
    play_id, version = it.session.play_id, it.session.playhead.version
    it.now_ms = Millis(it.now_ms + 10_000)
    it.do(commit(it))
    assert it.position == 10_000
    assert (it.session.active_device_id, it.session.device_epoch) == (PHONE, 2)
    it.now_ms = Millis(it.now_ms + 1_500)
    assert it.position == 11_500
    assert (it.session.play_id, it.session.playhead.version) == (play_id, version)


def test_a_handoff_of_an_older_epoch_is_refused() -> None:
    it = playing()
    with pytest.raises(Rejected) as rejected:
        it.do(commit(it, epoch=0))
    assert rejected.value.code is Code.STALE_EPOCH
    assert it.session.active_device_id == KITCHEN


@pytest.mark.parametrize(
    ("was_playing", "plays", "moved"), [(True, False, 500), (False, True, 0), (False, False, 0)]
)
def test_the_target_plays_or_pauses_from_the_instant_of_the_switch(
    was_playing: bool, plays: bool, moved: int
) -> None:
    it = playing()
    it.now_ms = Millis(it.now_ms + 10_000)
    if not was_playing:
        it.do(Pause())
    it.do(commit(it, playing=plays))
    it.now_ms = Millis(it.now_ms + 500)
    assert (it.position, it.state.is_playing) == (10_000 + moved, plays)
    it.now_ms = Millis(it.now_ms + 1_000)
    assert it.position == 10_000 + moved + 1_000 * plays


def test_the_gap_is_noted_for_its_own_handoff_only() -> None:
    it = playing()
    it.do(commit(it))
    assert it.do(HandoffMeasured(handoff_id="handoff-0", gap_ms=1.0, jump_ms=2.0)) == []
    it.do(HandoffMeasured(handoff_id="handoff-1", gap_ms=12.5, jump_ms=-3.0))
    assert it.state.last_handoff is not None
    assert (it.state.last_handoff.gap_ms, it.state.last_handoff.jump_ms) == (12.5, -3.0)


def test_the_old_device_is_not_believed_after_a_handoff() -> None:
    it = playing()
    late = it.report("paused", 0)
    it.do(commit(it))
    with pytest.raises(Rejected) as rejected:
        it.do(late)
    assert rejected.value.code is Code.STALE_EPOCH


def test_a_handoff_with_nothing_playing_only_chooses_the_device() -> None:
    it = Listening(a_context("ab"))
    (event,) = it.do(commit(it))
    assert isinstance(event, HandedOff)
    assert (it.session.active_device_id, it.session.playhead.status) == (PHONE, Status.STOPPED)


# --- lost and returned -------------------------------------------------------------------------------


def test_a_lost_device_stops_the_playhead_at_most_a_heartbeat_past_its_last_sign() -> None:
    it = playing()
    it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=False), after_ms=25_000)
    assert (it.position, it.state.is_paused, it.session.active_device_id) == (10_000, True, KITCHEN)


def test_a_device_that_returns_goes_on_if_it_played_when_it_was_lost() -> None:
    it = playing()
    it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=False), after_ms=5_000)
    it.do(DeviceReturned(device_id=KITCHEN), after_ms=60_000)
    assert (it.position, it.state.is_playing) == (5_000, True)
    assert it.do(DeviceReturned(device_id=KITCHEN)) == []


def test_a_device_that_was_paused_does_not_start_by_itself() -> None:
    it = playing()
    it.do(Pause())
    assert it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=False)) == []
    assert it.do(DeviceReturned(device_id=KITCHEN)) == []
    assert it.state.is_paused


def test_a_device_that_was_skipped_on_in_its_absence_does_not_start_by_itself() -> None:
    it = playing()
    it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=False))
    it.do(SkipNext())
    assert it.do(DeviceReturned(device_id=KITCHEN)) == []
    assert it.state.is_paused


def test_a_released_device_is_no_longer_active_and_its_epoch_is_over() -> None:
    it = playing()
    late = it.report("playing", 0)
    it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=False))
    it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=True), after_ms=300_000)
    assert (it.session.active_device_id, it.session.device_epoch) == (None, 2)
    assert it.do(DeviceReturned(device_id=KITCHEN)) == []
    with pytest.raises(Rejected):
        it.do(late)


def test_the_loss_of_another_device_means_nothing() -> None:
    it = playing()
    assert it.do(DeviceLost(device_id=PHONE, last_seen_ms=it.now_ms, release=True)) == []


# --- timers ------------------------------------------------------------------------------------------


def test_the_sleep_timer_pauses_when_its_time_comes() -> None:
    it = playing()
    it.do(SetSleepTimer(duration_ms=Millis(60_000)))
    assert wake_at_ms(it.session) == it.now_ms + 60_000
    assert it.do(Wake(), after_ms=59_999) == []
    it.do(Wake(), after_ms=1)
    assert (it.state.is_paused, it.position, it.state.sleep_timer) == (True, 60_000, None)


def test_the_sleep_timer_only_ends_when_nothing_plays() -> None:
    it = playing()
    it.do(SetSleepTimer(duration_ms=Millis(60_000)))
    it.do(Pause())
    it.do(Wake(), after_ms=60_000)
    assert (it.position, it.state.sleep_timer) == (0, None)


@pytest.mark.parametrize("told_by", ["ended", "advanced", "nobody"])
def test_the_sleep_timer_may_wait_for_the_end_of_the_track(told_by: str) -> None:
    it = playing()
    advance = gone_on(it)
    it.do(SetSleepTimer(end_of_track=True))
    assert upcoming(it.session, it.context) == ()
    it.now_ms = Millis(it.now_ms + TRACK_MS)
    match told_by:
        case "ended":
            it.do(it.report("ended", TRACK_MS))
        case "advanced":
            it.do(advance)
        case _:
            it.do(Wake(), after_ms=10_001)
    assert (it.playing, it.position, it.state.is_paused) == ("a", TRACK_MS, True)
    assert it.state.sleep_timer is None
    assert upcoming(it.session, it.context) != ()


def test_a_sleep_timer_is_one_of_the_two_or_none() -> None:
    it = playing()
    with pytest.raises(Rejected) as rejected:
        it.do(SetSleepTimer(duration_ms=Millis(1_000), end_of_track=True))
    assert rejected.value.code is Code.BAD_REQUEST
    assert it.do(SetSleepTimer()) == []
    it.do(SetSleepTimer(end_of_track=True))
    it.do(SetSleepTimer())
    assert it.state.sleep_timer is None


def test_an_end_that_nobody_reports_is_taken_as_reached_after_ten_seconds() -> None:
    it = playing()
    wake = wake_at_ms(it.session)
    assert wake is not None
    assert it.do(Wake(), after_ms=TRACK_MS + 10_000) == []
    it.now_ms = wake
    it.do(Wake())
    assert it.playing == "b"


def test_nothing_wakes_a_session_that_stands_still() -> None:
    it = playing()
    it.do(it.report("buffering", 0))
    assert wake_at_ms(it.session) is None
    it.do(Pause())
    assert wake_at_ms(it.session) is None


# --- autoplay ----------------------------------------------------------------------------------------


def filled(index: int = 3, names: str = "uvwxyz") -> Listening:
    it = playing(index=index)
    it.do(FillAutoplay(candidates=tuple(a_candidate(name) for name in names)))
    return it


def test_autoplay_is_wanted_when_fewer_than_two_items_remain() -> None:
    it = playing(index=1)
    assert not wants_autoplay(it.session, it.context)
    it.do(SkipNext())
    assert wants_autoplay(it.session, it.context)
    assert autoplay_seeds(it.session, it.context) == tuple(track(name) for name in "cbd")
    it.do(SetRepeat(repeat=Repeat.CONTEXT))
    assert not wants_autoplay(it.session, it.context)


def test_autoplay_is_refilled_when_fewer_than_five_remain() -> None:
    it = filled()
    assert not wants_autoplay(it.session, it.context)
    it.do(SkipNext())
    assert wants_autoplay(it.session, it.context) is False
    it.do(SkipNext())
    assert wants_autoplay(it.session, it.context)


def test_autoplay_follows_the_context_and_says_why() -> None:
    it = filled(index=2)
    assert it.coming == ["d", *"uvwxyz"]
    it.do(SkipNext())
    it.do(SkipNext())
    assert (it.playing, it.behind) == ("u", ["a", "b", "c", "d"])
    assert it.session.current is not None
    assert it.session.current.reason is not None
    assert it.session.current.reason.kind == "same_artist"


def test_an_autoplay_item_can_be_removed_and_brought_back() -> None:
    it = filled()
    it.do(RemoveFromQueue(uids=(it.session.autoplay[2].uid,)))
    assert it.coming == list("uvxyz")
    it.do(Undo())
    assert it.coming == list("uvwxyz")


def test_jumping_into_autoplay_leaves_the_rest_of_the_context_behind() -> None:
    it = filled(index=0)
    it.do(PlayItem(uid=it.session.autoplay[2].uid))
    assert (it.playing, it.coming) == ("w", list("xyz"))


def test_what_was_queued_comes_before_autoplay_and_going_back_keeps_it() -> None:
    it = filled()
    it.do(SkipNext())
    it.do(AddToQueue(uris=(track("q"),)))
    assert (it.playing, it.coming[:2]) == ("u", ["q", "v"])
    it.do(SkipPrev())
    assert (it.playing, it.coming[:3]) == ("d", ["q", "u", "v"])


def test_shuffle_and_repeat_are_not_for_autoplay() -> None:
    it = playing(index=3)
    it.do(SetRepeat(repeat=Repeat.TRACK))
    it.do(FillAutoplay(candidates=(a_candidate("u"),)))
    it.do(SkipNext())
    assert it.playing == "u"
    for action in ("toggling_shuffle", "toggling_repeat_context", "toggling_repeat_track", "undoing"):
        assert it.state.disallows[action] == ("autoplay",)
    for command in (SetShuffle(shuffle=True), SetRepeat(repeat=Repeat.OFF), Undo()):
        with pytest.raises(Disallowed):
            it.do(command)


def test_the_autoplay_lane_is_bounded_and_holds_no_track_twice() -> None:
    it = playing(index=3)
    it.do(FillAutoplay(candidates=tuple(a_candidate(f"t{n}") for n in (*range(20), *range(20)))))
    assert len(it.session.autoplay) == 20
    it.do(FillAutoplay(candidates=tuple(a_candidate(f"t{n}") for n in range(60))))
    assert len(it.session.autoplay) == AUTOPLAY_MAX
    assert it.do(FillAutoplay(candidates=(a_candidate("more"),))) == []


def test_autoplay_that_comes_a_moment_after_the_end_goes_on_and_later_does_not() -> None:
    for late_ms, expected in ((3_000, "u"), (10_001, None)):
        it = playing(index=3)
        it.do(it.report("ended", TRACK_MS))
        assert wants_autoplay(it.session, it.context)
        it.do(FillAutoplay(candidates=(a_candidate("u"), a_candidate("v"))), after_ms=late_ms)
        assert it.playing == expected


def test_a_new_context_has_no_use_for_the_autoplay_of_the_old() -> None:
    it = filled()
    it.do(Play(context_uri=ALBUM))
    assert it.session.autoplay == ()


# --- history and replies -----------------------------------------------------------------------------


def test_history_is_bounded() -> None:
    it = Listening(a_context([f"k{n}" for n in range(HISTORY_MAX + 10)]))
    it.do(Play(context_uri=ALBUM))
    for _ in range(HISTORY_MAX + 5):
        it.do(SkipNext())
    assert len(it.session.history) == HISTORY_MAX
    assert len(it.state.prev_tracks) == 10


def test_a_stored_reply_is_given_again_for_ten_minutes() -> None:
    it = playing()
    session = remember(it.session, CommandId("c1"), b"ok", it.now_ms)
    assert recall(session, CommandId("c1"), Millis(it.now_ms + KEPT_MS - 1)) == b"ok"
    assert recall(session, CommandId("c1"), Millis(it.now_ms + KEPT_MS)) is None
    assert recall(session, CommandId("c2"), it.now_ms) is None


def test_stored_replies_are_bounded_and_the_oldest_give_way() -> None:
    session = playing().session
    for n in range(REPLIES_MAX + 1):
        session = remember(session, CommandId(f"c{n}"), b"ok", Millis(n))
    assert len(session.replies) == REPLIES_MAX
    assert recall(session, CommandId("c0"), Millis(100)) is None
    assert recall(session, CommandId("c1"), Millis(100)) == b"ok"


def test_a_start_is_durable_and_a_seek_is_not() -> None:
    it = playing()
    (seek,) = it.do(SeekTo(position_ms=Millis(1)))
    events: list[Event] = it.do(SkipNext())
    assert not is_durable(seek)
    assert [is_durable(event) for event in events] == [True]
    assert isinstance(events[0], Started)
