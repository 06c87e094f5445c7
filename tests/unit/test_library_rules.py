"""What may be kept, in which order, and what counts as heard."""

import pytest

from catalog.library import (
    SHELF_ITEMS_MAX,
    Kept,
    Play,
    Shelf,
    added_at_ms,
    check_room,
    counts_as_played,
    most_played,
    place_of,
    resume_at,
    window,
)
from kernel.errors import Code, Rejected
from kernel.ids import Uri
from kernel.units import Millis


def test_a_place_sorts_newest_first_and_keeps_the_order_of_a_request() -> None:
    places = [place_of(Millis(at), index) for at in (3_000, 2_000) for index in range(3)]
    assert places == sorted(places)
    assert [added_at_ms(place) for place in places] == [3_000] * 3 + [2_000] * 3


def test_a_window_behind_a_place_that_is_gone_goes_on_where_it_was() -> None:
    shelf = [
        Kept(item_id=str(at), place=place_of(Millis(at), 0), added_at_ms=Millis(at)) for at in (9, 7, 5, 3)
    ]
    shown = window(shelf, offset=0, limit=2, after=place_of(Millis(8), 0))
    assert [each.item_id for each in shown] == ["7", "5"]


def test_a_full_shelf_takes_nothing_more() -> None:
    check_room(Shelf.TRACKS, SHELF_ITEMS_MAX - 1, 1)
    with pytest.raises(Rejected) as refused:
        check_room(Shelf.TRACKS, SHELF_ITEMS_MAX, 1)
    assert (refused.value.code, refused.value.details["reasons"]) == (Code.DISALLOWED, ["library_full"])


@pytest.mark.parametrize(
    ("heard_ms", "duration_ms", "counts"),
    [(29_999, 200_000, False), (30_000, 200_000, True), (10_000, 20_000, True), (9_999, 20_000, False)],
)
def test_a_play_is_thirty_seconds_or_half(heard_ms: int, duration_ms: int, counts: bool) -> None:
    assert counts_as_played(Millis(heard_ms), Millis(duration_ms)) is counts


@pytest.mark.parametrize(
    ("position_ms", "expected"),
    [(0, (0, False)), (1_800_000, (1_800_000, False)), (3_575_000, (0, True)), (3_600_000, (0, True))],
)
def test_an_episode_goes_on_where_it_was_left_or_from_the_start(
    position_ms: int, expected: tuple[int, bool]
) -> None:
    found = resume_at(Millis(position_ms), Millis(3_600_000), Millis(5))
    assert (found.position_ms, found.fully_played) == expected


def test_what_was_played_most_comes_first_and_then_what_was_played_last() -> None:
    plays = [
        Play(uri=Uri(each), context_uri=None, played_at_ms=Millis(100 - place), heard_ms=Millis(1))
        for place, each in enumerate("abcbc")
    ]
    assert most_played(plays, since_ms=Millis(0)) == ["b", "c", "a"]
    assert most_played(plays, since_ms=Millis(99)) == ["a", "b"]
