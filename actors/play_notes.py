"""Writes down what a listener has heard, beside the session and never in its way.

A session says when it leaves an item; `catalog/library.py` decides whether that was a play, and where an
episode is to go on. The notes are for a person to read: a store that does not answer costs a note, not the
music, and there is no retry.
"""

import asyncio
from collections.abc import Coroutine

import structlog

from catalog.library import Play, ResumeAt, counts_as_played, resume_at
from kernel.errors import SegueError
from kernel.ids import PlayId, TrackId, UserId, parse_uri
from kernel.units import Clock, Millis
from sessions.playhead import position_ms
from sessions.state import Session
from storage.library import Library

WRITING_MAX = 256
"""Notes being written at one time by a host; further ones are dropped, and said so in the log."""

log = structlog.get_logger(__name__)


class PlayNotes:
    """One for a host."""

    def __init__(self, library: Library, clock: Clock) -> None:
        self._library = library
        self._clock = clock
        self._writing: set[asyncio.Task[None]] = set()

    def left(self, session: Session) -> None:
        """`session` as it was at the moment when its current item was left."""
        item, play_id = session.current, session.play_id
        if item is None or play_id is None:
            return
        if len(self._writing) >= WRITING_MAX:
            log.warning("play_not_noted", user_id=session.user_id, why=f"{WRITING_MAX} are being written")
            return
        now_ms = self._clock.now_ms()
        position = position_ms(session.playhead, duration_ms=item.duration_ms, now_ms=now_ms)
        context_uri = session.context.uri if session.context is not None else None
        play = Play(uri=item.uri, context_uri=context_uri, played_at_ms=now_ms, heard_ms=position)
        self._write(self._note(session.user_id, play_id, play, item.duration_ms))
        self.rested(session)

    def rested(self, session: Session) -> None:
        """`session` as it is since its current item stopped sounding, to go on some day."""
        where = left_at(session, self._clock.now_ms())
        if where is not None and len(self._writing) < WRITING_MAX:
            self._write(self._put_resume_point(session.user_id, *where))

    def _write(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def wait_for_writing(self) -> None:
        """Until what was noted so far is written."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _note(self, user_id: UserId, play_id: PlayId, play: Play, duration_ms: Millis) -> None:
        try:
            if counts_as_played(play.heard_ms, duration_ms):
                await self._library.note_play(user_id, play_id, play)
        except SegueError as fault:
            log.warning("play_not_noted", user_id=user_id, why=str(fault))

    async def _put_resume_point(self, user_id: UserId, episode_id: TrackId, where: ResumeAt) -> None:
        try:
            await self._library.put_resume_point(user_id, episode_id, where)
        except SegueError as fault:
            log.warning("resume_point_not_noted", user_id=user_id, why=str(fault))


def left_at(session: Session, now_ms: Millis) -> tuple[TrackId, ResumeAt] | None:
    """Where the current episode is to go on if it is left now; None when none is current."""
    item = session.current
    match parse_uri(item.uri) if item is not None else None:
        case ("episode", episode_id):
            position = position_ms(session.playhead, duration_ms=session.duration_ms, now_ms=now_ms)
            return TrackId(episode_id), resume_at(position, session.duration_ms, now_ms)
        case _:
            return None
