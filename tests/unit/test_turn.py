"""One entity's mailbox: order, bounds, and what becomes of messages when a turn fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.turn import BURST_MAX, MAILBOX_MAX, Rest, Turn
from kernel.errors import Code, SegueError, Unavailable

Log = list[Any]


class Entity:
    """Notes what happens to it. A message that is a number waits for the gate, a callable is called."""

    def __init__(self, *, deadline_s: float = 5.0) -> None:
        self.seen: Log = []
        self.poison: list[BaseException] = []
        self.away: list[tuple[object, Code]] = []
        self.gate = asyncio.Event()
        self.turn: Turn[Any] = Turn(
            self.handle,
            poisoned=self.poison.append,
            turned_away=lambda message, why: self.away.append((message, why.code)),
            deadline_s=deadline_s,
        )

    def handle(self, message: object) -> Rest | None:
        if isinstance(message, int):
            return self.wait(message)
        if callable(message):
            message()
        else:
            self.seen.append(message)
        return None

    async def wait(self, number: int) -> None:
        self.seen.append(f"{number} begins")
        await self.gate.wait()
        self.seen.append(f"{number} ends")


async def settled(entity: Entity) -> None:
    async with asyncio.timeout(5):
        while not entity.turn.idle:  # noqa: ASYNC110 - what is waited for is the turn itself
            await asyncio.sleep(0)


async def test_a_message_that_need_not_wait_is_done_when_post_returns_and_makes_no_task() -> None:
    entity = Entity()
    tasks = asyncio.all_tasks()
    entity.turn.post("now")
    assert entity.seen == ["now"]
    assert entity.turn.idle
    assert asyncio.all_tasks() == tasks


async def test_messages_are_handled_one_at_a_time_and_in_order() -> None:
    entity = Entity()
    for message in (1, "quick", 2, "last"):
        entity.turn.post(message)
    await asyncio.sleep(0)
    assert entity.seen == ["1 begins"]
    entity.gate.set()
    await settled(entity)
    assert entity.seen == ["1 begins", "1 ends", "quick", "2 begins", "2 ends", "last"]


async def test_what_a_turn_posts_to_itself_comes_after_it_and_before_what_comes_later() -> None:
    entity = Entity()

    def nested() -> None:
        entity.turn.post("inner")
        entity.seen.append("outer")

    entity.turn.post(nested)
    assert entity.seen == ["outer", "inner"]
    assert entity.turn.idle
    entity.turn.post("later")
    assert entity.seen == ["outer", "inner", "later"]


async def test_what_a_turn_posts_to_itself_may_wait() -> None:
    entity = Entity()
    entity.turn.post(lambda: entity.turn.post(1))
    assert not entity.turn.idle
    entity.gate.set()
    await settled(entity)
    assert entity.seen == ["1 begins", "1 ends"]


async def test_an_entity_that_keeps_posting_to_itself_lets_others_have_the_loop() -> None:
    entity = Entity()

    def again() -> None:
        entity.seen.append("again")
        if len(entity.seen) < 10 * BURST_MAX:
            entity.turn.post(again)

    entity.turn.post(again)
    assert len(entity.seen) == BURST_MAX
    await settled(entity)
    assert len(entity.seen) == 10 * BURST_MAX


async def test_a_full_mailbox_is_busy_and_takes_messages_again_when_it_has_drained() -> None:
    entity = Entity()
    entity.turn.post(0)
    for number in range(MAILBOX_MAX):
        entity.turn.post(f"message {number}")
    with pytest.raises(Unavailable) as full:
        entity.turn.post("one too many")
    assert full.value.code is Code.BUSY
    assert full.value.retry_after_ms is not None
    entity.gate.set()
    await settled(entity)
    assert entity.seen[2:] == [f"message {number}" for number in range(MAILBOX_MAX)]
    entity.turn.post("fits again")
    assert entity.seen[-1] == "fits again"


async def test_a_turn_that_takes_too_long_is_cut_off_and_everybody_hears_of_it() -> None:
    entity = Entity(deadline_s=0.01)
    for message in (1, "waits", 2):
        entity.turn.post(message)
    await settled(entity)
    assert entity.seen == ["1 begins"]
    [why] = entity.poison
    assert isinstance(why, SegueError)
    assert entity.away == [("waits", Code.TIMEOUT), (2, Code.TIMEOUT), (1, Code.TIMEOUT)]
    with pytest.raises(Unavailable):
        entity.turn.post("after")


def boom() -> None:
    raise AssertionError("a bug")


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "behind another turn"])
async def test_a_bug_ends_the_entity_and_its_message_is_answered(waits: bool) -> None:
    entity = Entity()
    entity.gate.set()
    if waits:
        entity.turn.post(1)
    entity.turn.post(boom)
    await settled(entity)
    [why] = entity.poison
    assert isinstance(why, AssertionError)
    assert entity.away == [(boom, Code.INTERNAL)]
    with pytest.raises(Unavailable):
        entity.turn.post("after")


async def test_close_finishes_what_was_accepted_and_takes_no_more() -> None:
    entity = Entity()
    entity.turn.post(1)
    entity.turn.post("accepted")
    closing = asyncio.ensure_future(entity.turn.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as closed:
        entity.turn.post("too late")
    assert closed.value.code is Code.GOING_AWAY
    assert not closing.done()
    entity.gate.set()
    await closing
    assert entity.seen == ["1 begins", "1 ends", "accepted"]


async def _once(entity: Entity) -> None:
    await asyncio.sleep(0)


async def _not_at_all(entity: Entity) -> None:
    return


@pytest.mark.parametrize("progress", [_not_at_all, _once], ids=["before its first step", "while it waits"])
async def test_abandon_cuts_off_the_turn_under_way_and_turns_everybody_away(
    progress: Callable[[Entity], Any],
) -> None:
    entity = Entity()
    entity.turn.post(1)
    entity.turn.post("waits")
    await progress(entity)
    entity.turn.abandon(Unavailable(Code.NOT_OWNER, "somebody else is"))
    assert entity.away == [(1, Code.NOT_OWNER), ("waits", Code.NOT_OWNER)]
    await entity.turn.close()
    assert "1 ends" not in entity.seen
    assert "waits" not in entity.seen


async def test_a_turn_that_gives_up_its_own_entity_runs_to_its_end() -> None:
    entity = Entity()

    async def give_up() -> None:
        entity.turn.abandon(Unavailable(Code.NOT_OWNER, "somebody else is"))
        entity.seen.append("gave up")

    entity.handle = lambda message: give_up() if message == "fenced" else None  # type: ignore[method-assign]
    entity.turn = Turn(
        entity.handle,
        poisoned=entity.poison.append,
        turned_away=lambda message, why: entity.away.append((message, why.code)),
    )
    entity.turn.post("fenced")
    entity.turn.post("waits")
    await settled(entity)
    assert entity.seen == ["gave up"]
    assert entity.away == [("waits", Code.NOT_OWNER)]
    assert not entity.poison
