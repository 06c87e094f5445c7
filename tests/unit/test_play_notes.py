"""What a host writes down of listening: only so much at a time, and never at the price of the music."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.play_notes import WRITING_MAX, PlayNotes
from kernel.errors import Code, Unavailable
from kernel.ids import PlayId, SessionId, Uid, Uri, UserId
from kernel.units import Millis
from sessions.playhead import Playhead, Status
from sessions.state import Item, Session
from storage.library import Library
from storage.memory import MemoryDocuments
from tests.support.clock import FakeClock

USER = UserId("user-ada")
MINUTE_MS = Millis(60_000)


def playing(uri: str, position_ms: int, *, duration_ms: int = 200_000) -> Session:
    return Session(
        session_id=SessionId("session"),
        user_id=USER,
        created_at_ms=Millis(0),
        seed=1,
        current=Item(uid=Uid("uid"), uri=Uri(uri), provider="context", duration_ms=Millis(duration_ms)),
        play_id=PlayId(f"play-{position_ms}"),
        playhead=Playhead(status=Status.PAUSED, position_ms=Millis(position_ms)),
    )


async def test_only_what_was_heard_is_a_play() -> None:
    clock = FakeClock()
    library = Library(MemoryDocuments(), clock)
    notes = PlayNotes(library, clock)
    notes.left(playing("spotify:track:one", 29_000))
    notes.left(playing("spotify:track:two", 31_000))
    await notes.wait_for_writing()
    assert [play.uri for play in await library.plays(USER, limit=9)] == ["spotify:track:two"]


async def test_a_store_that_does_not_answer_costs_the_note_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = MemoryDocuments()

    async def gone(*_: object) -> Any:
        raise Unavailable(Code.STORE_UNAVAILABLE, "the disk is full", None, Millis(1))

    monkeypatch.setattr(documents, "insert", gone)
    notes = PlayNotes(Library(documents, FakeClock()), FakeClock())
    with capture_logs() as lines:
        notes.left(playing("spotify:track:one", MINUTE_MS))
        await notes.wait_for_writing()
    assert [line["event"] for line in lines] == ["play_not_noted"]


async def test_more_notes_than_may_be_written_at_once_are_dropped_and_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents, clock = MemoryDocuments(), FakeClock()
    goes_on = asyncio.Event()
    insert = documents.insert

    async def slow(*args: Any) -> bool:
        await goes_on.wait()
        return await insert(*args)

    monkeypatch.setattr(documents, "insert", slow)
    library = Library(documents, clock)
    notes = PlayNotes(library, clock)
    with capture_logs() as lines:
        for number in range(WRITING_MAX + 1):
            notes.left(playing("spotify:track:one", MINUTE_MS + number))
    assert len(lines) == 1
    goes_on.set()
    await notes.wait_for_writing()
    assert len(await library.plays(USER, limit=WRITING_MAX * 2)) == WRITING_MAX
