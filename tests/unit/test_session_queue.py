"""The user's queue, its versions, undo, parked queues, options."""

import pytest

from kernel.errors import Code, Disallowed, Rejected
from kernel.ids import Uid, UserId
from kernel.units import Millis
from sessions.commands import (
    AddToQueue,
    ClearQueue,
    MoveInQueue,
    Play,
    RemoveFromQueue,
    Repeat,
    RestoreQueue,
    SessionCommand,
    SetRepeat,
    SetShuffle,
    SkipNext,
    SkipPrev,
    Undo,
)
from sessions.inputs import ContextChanged
from sessions.queue_version import check_queue_version
from sessions.state import EDITS_MAX, PARKED_MAX, QUEUE_MAX, UNDO_ITEMS_MAX, UNDO_MAX
from sessions.view import QueueVersion
from tests.support.listening import ALBUM, OTHER_ALBUM, USER, Listening, a_context, track


def with_queue(*names: str) -> Listening:
    it = Listening(a_context("abcd"), a_context("xyz", uri=OTHER_ALBUM))
    it.do(Play(context_uri=ALBUM))
    if names:
        it.do(AddToQueue(uris=tuple(track(name) for name in names)))
    return it


def uid(it: Listening, name: str) -> Uid:
    return next(item.uid for item in it.session.queue if item.uri == track(name))


def add(*names: str, after: Uid | None = None, play_next: bool = False) -> AddToQueue:
    return AddToQueue(uris=tuple(track(name) for name in names), after_uid=after, play_next=play_next)


def test_the_queue_plays_before_the_context_goes_on() -> None:
    it = with_queue("p", "q")
    assert it.coming == ["p", "q", "b", "c", "d"]
    for expected in ("p", "q", "b"):
        it.do(SkipNext())
        assert it.playing == expected


def test_a_new_context_keeps_the_queue() -> None:
    it = with_queue("p", "q")
    it.do(Play(context_uri=OTHER_ALBUM))
    assert (it.playing, it.coming) == ("x", ["p", "q", "y", "z"])


def test_items_say_who_added_them_and_when() -> None:
    it = with_queue("p")
    assert it.session.queue[0].added_by == USER
    assert it.session.queue[0].added_at_ms == it.now_ms


def test_add_goes_to_the_end_to_the_front_or_behind_an_item() -> None:
    it = with_queue("p", "q")
    it.do(add("r", "s", play_next=True))
    it.do(add("t", after=uid(it, "p")))
    it.do(add("u"))
    assert it.queued == ["r", "s", "p", "t", "q", "u"]


def test_add_behind_the_item_that_has_just_begun_is_the_front() -> None:
    it = with_queue("p", "q")
    p = uid(it, "p")
    it.do(SkipNext())
    it.do(add("r", after=p))
    assert it.queued == ["r", "q"]


@pytest.mark.parametrize("what", ["add", "move"])
def test_an_unknown_place_is_not_found_and_says_what_was_asked(what: str) -> None:
    it = with_queue("p", "q")
    nowhere = Uid("01NOWHERE")
    command: SessionCommand = add("r", after=nowhere)
    if what == "move":
        command = MoveInQueue(uids=(uid(it, "p"),), after_uid=nowhere)
    with pytest.raises(Rejected) as rejected:
        it.do(command)
    assert rejected.value.code is Code.NOT_FOUND
    assert nowhere in rejected.value.message
    assert it.queued == ["p", "q"]


def test_what_may_not_be_played_is_not_queued() -> None:
    it = with_queue()
    with pytest.raises(Rejected) as rejected:
        it.do(add("p", "q!"))
    assert rejected.value.code is Code.NOT_PLAYABLE
    assert rejected.value.details == {"uris": [track("q!")], "reasons": ["unavailable"]}


def test_a_full_queue_says_so() -> None:
    it = with_queue()
    for part in range(QUEUE_MAX // 100):
        it.do(add(*(f"t{part}-{n}" for n in range(100))))
    with pytest.raises(Rejected) as rejected:
        it.do(add("one-more"))
    assert rejected.value.code is Code.QUEUE_FULL
    assert rejected.value.details == {"queue_length": QUEUE_MAX, "queue_max": QUEUE_MAX}
    assert len(it.session.queue) == QUEUE_MAX


def test_going_back_into_a_full_queue_loses_what_was_heard_not_what_waits() -> None:
    it = with_queue("p")
    for part in range(QUEUE_MAX // 100):
        it.do(SkipNext()) if part == 0 else None
        it.do(add(*(f"t{part}-{n}" for n in range(100))))
    assert it.playing == "p"
    waiting = it.session.queue
    it.do(SkipPrev())
    assert it.session.queue == waiting


def test_removes_and_moves_by_uid_may_come_twice() -> None:
    it = with_queue("p", "q", "r", "s")
    move = MoveInQueue(uids=(uid(it, "s"), uid(it, "p")), after_uid=uid(it, "q"))
    it.do(move)
    assert it.queued == ["q", "s", "p", "r"]
    assert it.do(move) == []
    remove = RemoveFromQueue(uids=(uid(it, "q"), uid(it, "r")))
    it.do(remove)
    assert it.do(remove) == []
    assert it.queued == ["s", "p"]
    it.do(ClearQueue())
    assert it.do(ClearQueue()) == []
    assert it.queued == []


def test_a_move_behind_itself_is_refused() -> None:
    it = with_queue("p", "q")
    with pytest.raises(Rejected) as rejected:
        it.do(MoveInQueue(uids=(uid(it, "p"),), after_uid=uid(it, "p")))
    assert rejected.value.code is Code.BAD_REQUEST


def test_each_edit_grows_minor_and_a_new_context_grows_major() -> None:
    it = with_queue("p")
    assert it.session.queue_version == QueueVersion(major=1, minor=1)
    it.do(ClearQueue())
    assert it.session.queue_version == QueueVersion(major=1, minor=2)
    it.do(Play(context_uri=OTHER_ALBUM))
    assert it.session.queue_version == QueueVersion(major=2, minor=0)


def test_an_edit_of_an_older_queue_is_told_what_it_missed() -> None:
    it = with_queue("p")
    seen = it.session.queue_version
    check_queue_version(it.session, seen)
    p = uid(it, "p")
    it.do(RemoveFromQueue(uids=(p,)))
    with pytest.raises(Rejected) as rejected:
        check_queue_version(it.session, seen)
    assert rejected.value.code is Code.QUEUE_VERSION_CONFLICT
    assert rejected.value.details == {
        "queue_version": {"major": 1, "minor": 2},
        "missing": [{"queue_version": {"major": 1, "minor": 2}, "op": "remove", "uids": [p]}],
    }


@pytest.mark.parametrize("later", ["many edits", "another context", "a version from nowhere"])
def test_missed_edits_that_are_not_known_any_more_are_said_to_be_unknown(later: str) -> None:
    it = with_queue("p")
    seen = it.session.queue_version
    match later:
        case "many edits":
            for _ in range(EDITS_MAX + 1):
                it.do(add("q"))
        case "another context":
            it.do(Play(context_uri=OTHER_ALBUM))
        case _:
            seen = QueueVersion(major=1, minor=9)
    with pytest.raises(Rejected) as rejected:
        check_queue_version(it.session, seen)
    assert rejected.value.details["missing"] is None


def test_undo_takes_back_edits_and_options_one_by_one() -> None:
    it = with_queue("p", "q", "r")
    it.do(MoveInQueue(uids=(uid(it, "r"),)))
    it.do(SetShuffle(shuffle=True))
    it.do(SetRepeat(repeat=Repeat.CONTEXT))
    it.do(ClearQueue())
    it.do(Undo())
    assert it.queued == ["r", "p", "q"]
    it.do(Undo())
    assert (it.session.repeat, it.session.shuffle) == (Repeat.OFF, True)
    it.do(Undo())
    assert it.coming == ["r", "p", "q", "b", "c", "d"]
    it.do(Undo())
    it.do(Undo())
    assert it.queued == []
    with pytest.raises(Disallowed) as disallowed:
        it.do(Undo())
    assert disallowed.value.details == {"action": "undoing", "reasons": ["nothing_to_undo"]}


def test_undo_does_not_bring_back_what_has_been_played_since() -> None:
    it = with_queue("p", "q", "r")
    it.do(MoveInQueue(uids=(uid(it, "p"),), after_uid=uid(it, "r")))
    it.do(SkipNext())
    assert it.playing == "q"
    it.do(SkipNext())
    it.do(SkipNext())
    assert it.playing == "p"
    it.do(Undo())
    assert (it.playing, it.queued) == ("p", [])


def test_undo_of_a_removal_puts_items_where_they_were_although_others_were_played() -> None:
    it = with_queue("p", "q", "r", "s")
    it.do(RemoveFromQueue(uids=(uid(it, "q"), uid(it, "s"))))
    it.do(SkipNext())
    it.do(Undo())
    assert it.queued == ["q", "r", "s"]


def test_nobody_undoes_what_somebody_else_did() -> None:
    it = with_queue("p")
    with pytest.raises(Rejected) as rejected:
        it.do(Undo(), actor_id=UserId("eve"))
    assert rejected.value.code is Code.FORBIDDEN
    it.do(Undo(), actor_id=USER)
    assert it.queued == []


def test_the_undo_stack_is_bounded_in_entries_and_items() -> None:
    it = with_queue()
    for n in range(UNDO_MAX + 5):
        it.do(add(f"t{n}"))
    assert len(it.session.undo) == UNDO_MAX
    it.do(add(*(f"u{n}" for n in range(100))))
    it.do(add(*(f"v{n}" for n in range(100))))
    for _ in range(UNDO_ITEMS_MAX // 200 + 3):
        it.do(ClearQueue())
        it.do(add(*(f"w{n}" for n in range(100))))
        it.do(add(*(f"x{n}" for n in range(100))))
    assert sum(len(entry.put) for entry in it.session.undo) <= UNDO_ITEMS_MAX


def test_undo_of_shuffle_after_another_context_is_only_about_the_option() -> None:
    it = with_queue()
    it.do(SetShuffle(shuffle=True))
    it.do(Play(context_uri=OTHER_ALBUM))
    it.do(Undo())
    assert (it.session.shuffle, it.playing is not None) == (False, True)
    assert [*it.behind, it.playing, *it.coming] == ["x", "y", "z"]


def test_restore_brings_back_what_a_play_replaced_and_swaps() -> None:
    it = with_queue("p")
    it.do(SkipNext())
    it.do(SkipNext())
    it.do(Play(context_uri=OTHER_ALBUM), after_ms=7_000)
    it.do(RestoreQueue(), after_ms=2_000)
    assert (it.playing, it.position, it.coming, it.behind) == ("b", 7_000, ["c", "d"], ["a", "p"])
    it.do(RestoreQueue())
    assert (it.playing, it.position, it.coming) == ("x", 2_000, ["y", "z"])


def test_restore_finds_the_place_again_in_a_newer_revision() -> None:
    it = with_queue()
    it.do(SkipNext())
    it.do(Play(context_uri=OTHER_ALBUM))
    it.contexts[ALBUM] = a_context(("new", "a", "b", "newer", "c"), revision="2")
    it.do(RestoreQueue())
    assert (it.playing, it.coming) == ("b", ["newer", "c"])
    assert it.state.context_revision == "2"


def test_restore_with_nothing_parked_is_disallowed() -> None:
    it = with_queue()
    with pytest.raises(Disallowed) as disallowed:
        it.do(RestoreQueue())
    assert disallowed.value.details == {"action": "restoring_queue", "reasons": ["no_parked_queue"]}


def test_parked_queues_are_bounded() -> None:
    it = with_queue()
    for _ in range(PARKED_MAX + 3):
        it.do(Play(uris=(track("a"), track("b"))))
    assert len(it.session.parked) == PARKED_MAX


def test_a_changed_context_keeps_what_plays_and_goes_on_from_there() -> None:
    it = with_queue()
    it.do(SkipNext())
    newer = a_context(("n", "a", "b", "m", "d"), revision="2")
    it.do(ContextChanged(context=newer), context=it.context)
    it.contexts[ALBUM] = newer
    assert (it.playing, it.coming, it.state.context_revision) == ("b", ["m", "d"], "2")


@pytest.mark.parametrize(
    ("keys", "coming"),
    [(("a", "n", "c", "d"), ["n", "c", "d"]), (("c", "d"), ["c", "d"]), (("d", "c", "a"), []), ((), [])],
)
def test_when_the_playing_item_leaves_the_context_it_goes_on_behind_what_stood_before_it(
    keys: tuple[str, ...], coming: list[str]
) -> None:
    it = with_queue()
    it.do(SkipNext())
    newer = a_context(keys, revision="2")
    it.do(ContextChanged(context=newer), context=it.context)
    it.contexts[ALBUM] = newer
    assert (it.playing, it.coming) == ("b", coming)


def test_an_insert_does_not_reshuffle() -> None:
    keys = [f"k{n}" for n in range(40)]
    it = Listening(a_context(keys))
    it.do(Play(context_uri=ALBUM, shuffle=True))
    before = it.state.next_tracks
    newer = a_context(("first", *keys[:20], "middle", *keys[20:], "last"), revision="2")
    it.do(ContextChanged(context=newer), context=it.context)
    it.contexts[ALBUM] = newer
    added = {track(name) for name in ("first", "middle", "last")}
    assert tuple(item for item in it.state.next_tracks if item.uri not in added) == before


def test_a_change_of_some_other_context_is_ignored() -> None:
    it = with_queue()
    assert it.do(ContextChanged(context=a_context("xy", uri=OTHER_ALBUM, revision="2"))) == []
    it.do(Play(uris=(track("a"),)))
    assert it.do(ContextChanged(context=a_context("xy", uri=None, revision="2"))) == []


def test_setting_an_option_to_what_it_is_changes_nothing() -> None:
    it = with_queue()
    assert it.do(SetShuffle(shuffle=False)) == []
    assert it.do(SetRepeat(repeat=Repeat.OFF)) == []
    assert it.session.undo == ()


def test_options_set_before_anything_plays_hold_for_the_first_context() -> None:
    it = Listening(a_context([f"k{n}" for n in range(20)]))
    it.do(SetShuffle(shuffle=True))
    it.do(Play(context_uri=ALBUM))
    played = [it.playing, *it.coming]
    assert sorted(str(name) for name in played) == sorted(it.natural)
    assert played != it.natural
    assert Millis(it.position) == 0
