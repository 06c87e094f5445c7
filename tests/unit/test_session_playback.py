"""Play, pause, seek, skip: what a listener hears."""

import pytest

from kernel.errors import Code, Disallowed, Rejected
from kernel.units import Millis
from sessions.commands import (
    AddToQueue,
    Pause,
    Play,
    PlayItem,
    Repeat,
    Resume,
    SeekTo,
    SetRepeat,
    SetShuffle,
    SetSpeed,
    SkipNext,
    SkipPrev,
)
from sessions.events import Activated, Seeked
from sessions.inputs import DeviceLost
from sessions.playhead import Status
from tests.support.listening import (
    ALBUM,
    KITCHEN,
    OTHER_ALBUM,
    PHONE,
    TRACK_MS,
    Listening,
    a_context,
    track,
)


def playing(*keys: str, index: int | None = None) -> Listening:
    listening = Listening(a_context(keys), a_context(("x", "y", "z"), uri=OTHER_ALBUM))
    listening.do(Play(context_uri=ALBUM, offset_index=index))
    return listening


def test_play_starts_the_first_item_on_the_device_that_is_there() -> None:
    it = playing("a", "b", "c")
    assert (it.playing, it.coming, it.behind) == ("a", ["b", "c"], [])
    assert it.session.active_device_id == KITCHEN
    assert it.session.device_epoch == 1
    assert it.session.playhead.status is Status.PLAYING


def test_play_without_any_device_says_so_and_changes_nothing() -> None:
    it = Listening(a_context("abc"))
    it.sounding = None
    with pytest.raises(Rejected) as rejected:
        it.do(Play(context_uri=ALBUM))
    assert rejected.value.code is Code.NO_ACTIVE_DEVICE
    assert it.session == it.first


def test_play_stays_on_the_active_device_unless_it_names_another() -> None:
    it = playing("a", "b")
    it.do(Play(context_uri=OTHER_ALBUM), device_id=PHONE)
    assert (it.session.active_device_id, it.session.device_epoch) == (KITCHEN, 1)
    it.do(Play(context_uri=ALBUM, device_id=PHONE), device_id=PHONE)
    assert (it.session.active_device_id, it.session.device_epoch) == (PHONE, 2)


def test_play_from_an_offset_can_go_back_to_what_stands_before_it() -> None:
    it = playing("a", "b", "c", "d", index=2)
    assert (it.playing, it.behind) == ("c", ["a", "b"])
    it.do(SkipPrev())
    assert (it.playing, it.behind, it.coming) == ("b", ["a"], ["c", "d"])


def test_play_from_an_offset_uri_and_a_position() -> None:
    it = Listening(a_context("abc"))
    it.do(Play(context_uri=ALBUM, offset_uri=track("b"), position_ms=Millis(5_000)))
    assert (it.playing, it.position) == ("b", 5_000)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Play(), Code.BAD_REQUEST),
        (Play(context_uri=ALBUM, uris=(track("a"),)), Code.BAD_REQUEST),
        (Play(context_uri=ALBUM, offset_index=0, offset_uri=track("a")), Code.BAD_REQUEST),
        (Play(context_uri=ALBUM, offset_index=3), Code.BAD_REQUEST),
        (Play(context_uri=ALBUM, offset_uri=track("q")), Code.NOT_FOUND),
        (Play(context_uri=OTHER_ALBUM), Code.NOT_FOUND),
        (Play(uris=(track("a!"), track("b!"))), Code.NOT_PLAYABLE),
    ],
)
def test_a_play_that_makes_no_sense_is_refused_by_code(command: Play, code: Code) -> None:
    it = Listening(a_context("abc"))
    with pytest.raises(Rejected) as rejected:
        it.do(command)
    assert rejected.value.code is code
    assert it.session == it.first


def test_tracks_of_the_client_make_a_context_that_the_session_itself_keeps() -> None:
    it = Listening()
    it.do(Play(uris=(track("a"), track("b"), track("a"))))
    assert (it.playing, it.coming) == ("a", ["b", "a"])
    assert it.session.context is not None
    assert len(it.session.context.items) == 3


def test_pause_holds_the_position_and_resume_goes_on_from_it() -> None:
    it = playing("a", "b")
    it.do(Pause(), after_ms=4_000)
    it.now_ms = Millis(it.now_ms + 60_000)
    assert (it.position, it.session.playhead.status) == (4_000, Status.PAUSED)
    it.do(Resume())
    it.now_ms = Millis(it.now_ms + 1_000)
    assert (it.position, it.session.playhead.status) == (5_000, Status.PLAYING)


@pytest.mark.parametrize(
    ("before", "command", "action", "reason"),
    [
        ([], Pause(), "pausing", "not_playing"),
        ([], Resume(), "resuming", "nothing_playing"),
        ([], SeekTo(position_ms=Millis(0)), "seeking", "nothing_playing"),
        ([], SkipNext(), "skipping_next", "no_next_tracks"),
        ([], SkipPrev(), "skipping_prev", "no_previous_tracks"),
        ([Play(context_uri=ALBUM), Pause()], Pause(), "pausing", "already_paused"),
        ([Play(context_uri=ALBUM)], Resume(), "resuming", "already_playing"),
        ([Play(context_uri=ALBUM)], SkipPrev(), "skipping_prev", "no_previous_tracks"),
        ([Play(context_uri=ALBUM, offset_index=2)], SkipNext(), "skipping_next", "no_next_tracks"),
        ([Play(context_uri=ALBUM)], SetSpeed(speed=1.5), "setting_speed", "not_speech"),
    ],
)
def test_what_is_not_possible_is_disallowed_for_the_reason_shown(
    before: list[Play | Pause], command: Pause, action: str, reason: str
) -> None:
    it = Listening(a_context("abc"))
    for earlier in before:
        it.do(earlier)
    assert it.state.disallows[action] == (reason,)
    with pytest.raises(Disallowed) as disallowed:
        it.do(command)
    assert disallowed.value.details == {"action": action, "reasons": [reason]}


def test_seek_past_the_end_is_the_end() -> None:
    it = playing("a", "b")
    it.do(SeekTo(position_ms=Millis(TRACK_MS + 1)))
    assert it.position == TRACK_MS


def test_commands_that_move_the_playhead_raise_its_version() -> None:
    it = playing("a", "b")
    versions = [it.session.playhead.version]
    for command in (SeekTo(position_ms=Millis(1)), Pause(), Resume(), SkipNext()):
        it.do(command)
        versions.append(it.session.playhead.version)
    assert versions == sorted(set(versions))


def test_a_skip_goes_on_with_a_new_play() -> None:
    it = playing("a", "b")
    before = it.session.play_id
    it.do(SkipNext(from_uid=it.uid), after_ms=9_000)
    assert (it.playing, it.position, it.behind) == ("b", 0, ["a"])
    assert it.session.play_id != before


def test_the_second_of_two_taps_on_one_item_skips_nothing() -> None:
    it = playing("a", "b", "c")
    seen = it.uid
    it.do(SkipNext(from_uid=seen))
    assert it.do(SkipNext(from_uid=seen)) == []
    assert it.playing == "b"
    it.do(SkipPrev(from_uid=it.uid))
    assert it.playing == "a"
    it.do(SkipNext())
    assert it.do(SkipPrev(from_uid=seen)) == []


def test_a_late_skip_at_the_last_item_is_a_no_op_not_an_error() -> None:
    it = playing("a", "b")
    seen = it.uid
    it.do(SkipNext(from_uid=seen))
    assert it.do(SkipNext(from_uid=seen)) == []


def test_a_skip_while_paused_stays_paused() -> None:
    it = playing("a", "b")
    it.do(Pause())
    it.do(SkipNext())
    assert (it.playing, it.session.playhead.status) == ("b", Status.PAUSED)


def test_previous_restarts_after_three_seconds_and_goes_back_before() -> None:
    it = playing("a", "b")
    it.do(SkipNext())
    (restart,) = it.do(SkipPrev(), after_ms=3_001)
    assert isinstance(restart, Seeked)
    assert (it.playing, it.position) == ("b", 0)
    it.do(SkipPrev(), after_ms=3_000)
    assert (it.playing, it.coming) == ("a", ["b"])


def test_going_back_from_a_queued_item_keeps_it_in_front_of_the_queue() -> None:
    it = playing("a", "b")
    it.do(AddToQueue(uris=(track("q"), track("r"))))
    it.do(SkipNext())
    assert (it.playing, it.coming) == ("q", ["r", "b"])
    queued = it.uid
    it.do(SkipPrev())
    assert (it.playing, it.coming) == ("a", ["q", "r", "b"])
    it.do(SkipNext())
    assert it.uid == queued


def test_jumping_within_the_windows_plays_at_once() -> None:
    it = playing("a", "b", "c", "d")
    it.do(AddToQueue(uris=(track("q"), track("r"))))
    it.do(Pause())
    r, c = it.state.next_tracks[1], it.state.next_tracks[3]
    it.do(PlayItem(uid=r.uid))
    assert (it.playing, it.coming, it.session.playhead.status) == ("r", ["q", "b", "c", "d"], Status.PLAYING)
    it.do(PlayItem(uid=c.uid))
    assert (it.playing, it.coming, it.behind) == ("c", ["q", "d"], ["a", "r"])
    it.do(PlayItem(uid=it.state.prev_tracks[0].uid))
    assert (it.playing, it.coming, it.behind) == ("a", ["r", "q", "b", "c", "d"], [])


def test_jumping_to_what_plays_does_nothing_and_to_what_is_gone_says_so() -> None:
    it = playing("a", "b")
    gone = it.state.next_tracks[0].uid
    assert it.do(PlayItem(uid=it.uid)) == []
    it.do(Play(context_uri=OTHER_ALBUM))
    with pytest.raises(Rejected) as rejected:
        it.do(PlayItem(uid=gone))
    assert rejected.value.code is Code.NOT_FOUND
    assert gone in rejected.value.message


def test_what_may_not_be_played_is_stepped_over() -> None:
    it = playing("a!", "b", "c!", "d", "e!")
    assert (it.playing, it.coming) == ("b", ["d"])
    it.do(SkipNext())
    assert (it.playing, it.coming, it.behind) == ("d", [], ["b"])


def test_play_from_an_item_that_may_not_be_played_begins_behind_it() -> None:
    it = Listening(a_context(("a", "b!", "c")))
    it.do(Play(context_uri=ALBUM, offset_index=1, position_ms=Millis(5_000)))
    assert (it.playing, it.position) == ("c", 0)


def test_repeat_context_begins_again_with_new_items() -> None:
    it = playing("a", "b!", "c")
    first = it.uid
    it.do(SetRepeat(repeat=Repeat.CONTEXT))
    assert it.coming[:4] == ["c", "a", "c", "a"]
    it.do(SkipNext())
    it.do(SkipNext())
    assert it.playing == "a"
    assert it.uid != first
    assert it.session.current is not None
    assert it.session.current.iteration == 1
    assert len(it.state.next_tracks) == 80


def test_repeat_track_plays_it_again_and_a_skip_leaves_it() -> None:
    it = playing("a", "b")
    it.do(SetRepeat(repeat=Repeat.TRACK))
    before = it.session.play_id
    it.do(it.report("ended", TRACK_MS), after_ms=TRACK_MS)
    assert (it.playing, it.behind) == ("a", [])
    assert it.session.play_id != before
    it.do(SkipNext())
    assert (it.playing, it.session.repeat) == ("b", Repeat.TRACK)


def test_the_end_of_everything_is_a_stop_that_says_why() -> None:
    it = playing("a", "b!")
    it.do(it.report("ended", TRACK_MS))
    assert (it.session.playhead.status, it.session.stop_reason) == (Status.STOPPED, "nothing_playable")
    assert (it.playing, it.behind, it.position) == (None, ["a"], 0)
    other = playing("a")
    other.do(other.report("ended", TRACK_MS))
    assert other.session.stop_reason == "end_of_queue"


def test_resume_after_the_end_begins_the_context_again() -> None:
    it = playing("a", "b", index=1)
    first = it.uid
    it.do(it.report("ended", TRACK_MS))
    it.do(Resume())
    assert (it.playing, it.coming) == ("a", ["b"])
    assert it.state.next_tracks[0].uid != first


def test_shuffle_pins_the_current_item_and_unshuffle_is_exact() -> None:
    keys = [f"k{n}" for n in range(30)]
    it = Listening(a_context(keys))
    it.do(Play(context_uri=ALBUM, offset_index=10))
    natural = it.coming
    it.do(SetShuffle(shuffle=True))
    assert it.playing == "k10"
    shuffled = [item.uri for item in it.state.next_tracks]
    assert sorted(shuffled) == sorted(track(key) for key in keys if key != "k10")
    assert it.behind == []
    it.do(SetShuffle(shuffle=False))
    assert (it.coming, it.behind[-1]) == (natural, "k9")


def test_play_with_shuffle_plays_everything_once() -> None:
    keys = [f"k{n}" for n in range(30)]
    it = Listening(a_context(keys))
    it.do(Play(context_uri=ALBUM, shuffle=True, offset_index=4))
    assert it.playing == "k4"
    assert {it.playing, *(item.uri.rpartition(":")[2] for item in it.state.next_tracks)} == set(keys)


def test_repeated_context_is_shuffled_anew_each_time() -> None:
    keys = [f"k{n}" for n in range(20)]
    it = Listening(a_context(keys))
    it.do(Play(context_uri=ALBUM, shuffle=True))
    it.do(SetRepeat(repeat=Repeat.CONTEXT))
    window = [item.uri for item in it.state.next_tracks]
    first, second = window[19:39], window[39:59]
    assert sorted(first) == sorted(second)
    assert first != second


def test_speed_is_for_speech_and_moves_the_position_accordingly() -> None:
    it = playing("a?", "b", "c?")
    it.do(SetSpeed(speed=2.0), after_ms=1_000)
    it.now_ms = Millis(it.now_ms + 1_000)
    assert it.position == 3_000
    it.do(SkipNext())
    assert (it.state.playback_speed, it.state.set_speed) == (1.0, 2.0)
    it.do(SkipNext())
    assert it.state.playback_speed == 2.0


def test_resume_takes_a_device_when_the_active_one_is_gone() -> None:
    it = playing("a", "b")
    it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=True), after_ms=2_000)
    assert (it.session.active_device_id, it.session.playhead.status) == (None, Status.PAUSED)
    it.sounding = None
    with pytest.raises(Rejected) as rejected:
        it.do(Resume())
    assert rejected.value.code is Code.NO_ACTIVE_DEVICE
    events = it.do(Resume(), device_id=PHONE)
    assert isinstance(events[0], Activated)
    assert (it.session.active_device_id, it.session.playhead.status) == (PHONE, Status.PLAYING)


def test_a_skip_without_a_device_never_plays() -> None:
    it = playing("a", "b")
    it.do(DeviceLost(device_id=KITCHEN, last_seen_ms=it.now_ms, release=True))
    it.do(SkipNext())
    assert (it.playing, it.session.playhead.status) == ("b", Status.PAUSED)
