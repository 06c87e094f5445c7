"""One user's session as a live entity: load, decide, commit, apply and publish. Nothing here decides.

What must not be lost is in the log before anybody is told; the playhead's volatile values (position, pause,
buffering) are told at once, written behind within a second, and join the log with the next durable record, so
that a replay of the log meets the same states as the live session did.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec
import structlog

from actors.contexts import Contexts
from actors.journal import Journal
from actors.play_notes import left_at
from actors.turn import Rest, Turn
from connect.frames import ErrorBody, Push, Reply
from kernel.errors import Code, Fenced, Rejected, SegueError, Unavailable
from kernel.ids import CommandId, DeviceId, SessionId, TrackId, Uid, Uri, UserId, catalogue_id
from kernel.units import Clock, Millis
from sessions.apply import apply
from sessions.commands import URIS_MAX, AddToQueue, Play, RemoveFromQueue, RestoreQueue, SessionCommand
from sessions.decide import decide
from sessions.events import Event, PlayheadNoted, is_durable
from sessions.inputs import Candidate, Context, FillAutoplay, Input, World
from sessions.own_context import own_context, parked_context
from sessions.project import context_delta, player_delta, player_state
from sessions.queue_version import check_queue_version
from sessions.record import Record, decode_record, encode_record
from sessions.replies import recall, remember
from sessions.state import ContextRef, Session, new_session
from sessions.upcoming import autoplay_seeds, wants_autoplay
from sessions.view import PlayerState, QueueVersion
from sessions.withholding import withholding
from storage.library import Library
from storage.ports import Volatile
from storage.preferences import Preferences

REPLIES_MAX = 64
PLAYHEAD_TTL_MS = Millis(7 * 24 * 3600 * 1000)
AUTOPLAY_BATCH = 20
RESUME_POINTS_MAX = 1_000
"""Episodes that are begun, of one listener; of more the oldest known starts at its beginning."""
EPISODE = "spotify:episode:"
FETCH_DEADLINE_S = 2.0

log = structlog.get_logger()


class Ask(NamedTuple):
    """One message to a session."""

    command: SessionCommand | Input
    answer: Callable[[Reply], None] | None = None
    command_id: CommandId | None = None
    if_device_epoch: int | None = None
    if_queue_version: QueueVersion | None = None
    actor_id: UserId | None = None
    device_id: DeviceId | None = None
    """Where a `play` or `resume` would sound when no device is active."""
    refused: Callable[[SegueError], None] | None = None
    """For messages without an answer: told why it was refused."""
    done: Callable[[], None] | None = None
    """Told once it is applied, before anybody sees it."""


class Autoplay(Protocol):
    """Finds what may follow when nothing is left to play."""

    async def candidates(self, seeds: tuple[Uri, ...], count: int) -> tuple[Candidate, ...]:
        """At most `count`, best first, none of the seeds; empty when nothing fits."""
        ...


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """The playhead as it is written behind."""

    seq: int
    """Of the newest record with anything in it: a later one makes it worthless."""
    noted: PlayheadNoted


class UserSession:
    """The shell around one `Session`."""

    def __init__(
        self,
        user_id: UserId,
        *,
        journal: Journal,
        contexts: Contexts,
        autoplay: Autoplay,
        volatile: Volatile,
        clock: Clock,
        seed: Callable[[], int],
        publish: Callable[[Push], None],
        changed: Callable[[], None],
        lost: Callable[[BaseException], None],
        preferences: Preferences,
        library: Library,
        left: Callable[[Session], None] = lambda session: None,
        rested: Callable[[Session], None] = lambda session: None,
    ) -> None:
        """`left` is told of a session whose current item gives way, as it was until then; `rested` of one
        whose current item stopped sounding, as it is from then on."""
        self.user_id = user_id
        self.session_id = SessionId(catalogue_id("session", user_id))
        self.session: Session
        self.context: Context | None = None
        self._journal = journal
        self._contexts = contexts
        self._autoplay = autoplay
        self._volatile = volatile
        self._clock = clock
        self._seed = seed
        self._publish = publish
        self._changed = changed
        self._lost = lost
        self._preferences = preferences
        self._library = library
        self._left = left
        self._rested = rested
        self._explicit_filter = False
        """As it was read last: at the start, with each play, and when it is said to have changed."""
        self._resume_ms: dict[Uri, Millis] = {}
        """Where the listener is in episodes of what plays or is queued."""
        self._volatile_replies: dict[CommandId, int] = {}
        """The last volatile commands, and the place their reply named; durable ones are in the session."""
        self._turn: Turn[Ask] = Turn(self._handle, poisoned=lost, turned_away=self._refuse)
        self._unwritten = False
        """The playhead moved since it was last written behind."""
        self._unlogged = False
        """The playhead moved since the last record."""
        self._filling: asyncio.Task[None] | None = None
        self._autoplay_dry = False
        """Autoplay was searched for since the last durable change; it is not asked again before the next."""
        self._recorded_seq = 0
        """Place of the newest record with anything in it."""

    # --- life ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Come back from the log. Raises Fenced, Unavailable."""
        loaded = await self._journal.open()
        if loaded.snapshot is not None:
            session = msgspec.msgpack.decode(loaded.snapshot, type=Session)
        else:
            now_ms = self._clock.now_ms()
            session = new_session(self.session_id, self.user_id, now_ms, self._seed())
            # Its seed and its birthday are in no record, and whatever follows derives from them.
            await self._journal.put_snapshot(msgspec.msgpack.encode(session))
        for payload in loaded.payloads:
            session = _replay(session, decode_record(payload))
        self._recorded_seq = loaded.seq
        session = await self._with_written_behind(session)
        self.session = session
        self.context = await self._for_listener(await self._context_of(session.context))

    async def _context_of(self, ref: ContextRef | None) -> Context | None:
        """The context that `ref` names; None when there is none, or it is no longer in the catalogue."""
        if ref is None or ref.uri is None:
            return own_context(ref)
        try:
            return await self._contexts.resolve(ref.uri)
        except Rejected:
            return None

    async def _for_listener(self, context: Context | None) -> Context | None:
        """`context` with what the listener's wishes withhold of it. Reads where they left its episodes."""
        self._explicit_filter = await self._preferences.explicit_filter(self.user_id)
        if context is None:
            return None
        spoken = [item.uri for item in context.items if item.uri.startswith(EPISODE)]
        if spoken:
            ids = [TrackId(each.removeprefix(EPISODE)) for each in spoken]
            found = await self._library.resume_points(self.user_id, ids)
            for uri, where in zip(spoken, found, strict=True):
                self._note_resume_point(uri, where.position_ms if where is not None else Millis(0))
        return withholding(context, explicit=self._explicit_filter)

    def _note_resume_point(self, uri: Uri, position_ms: Millis) -> None:
        self._resume_ms.pop(uri, None)
        if position_ms > 0:
            self._resume_ms[uri] = position_ms
            if len(self._resume_ms) > RESUME_POINTS_MAX:
                del self._resume_ms[next(iter(self._resume_ms))]

    def _note_current(self) -> None:
        if (where := left_at(self.session, self._clock.now_ms())) is not None:
            self._note_resume_point(Uri(EPISODE + where[0]), where[1].position_ms)

    async def reread(self) -> None:
        """The listener's wishes may have changed. What sounds goes on; what comes next is derived anew, and
        what they withhold leaves the lanes. Raises Unavailable."""
        self._explicit_filter = await self._preferences.explicit_filter(self.user_id)
        session = self.session
        lanes = {item.uid: item.uri for item in (*session.queue, *session.autoplay)}
        explicit = await self._contexts.explicit_among(list(lanes.values())) if self._explicit_filter else ()
        if self.context is not None:
            self.context = withholding(self.context, explicit=self._explicit_filter)
            delta = context_delta(self.session, self.context)
            self._publish(Push(owner_epoch=self.owner_epoch, seq=self.seq, player=delta, durable=False))
            self._changed()
        gone = [uid for uid, uri in lanes.items() if uri in explicit]
        for first in range(0, len(gone), URIS_MAX):
            await self._remove(tuple(gone[first : first + URIS_MAX]))

    async def _remove(self, uids: tuple[Uid, ...]) -> None:
        """Raises what it is refused with."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.post(
            Ask(RemoveFromQueue(uids=uids), done=lambda: done.set_result(None), refused=done.set_exception)
        )
        # Whoever waits may give up; the turn still says when it is done.
        await asyncio.shield(done)

    async def _with_written_behind(self, session: Session) -> Session:
        try:
            found = await self._volatile.get(self._written_key)
        except Unavailable as error:
            # A position that is a little old is better than no session.
            log.warning("playhead_not_read", user_id=self.user_id, why=str(error))
            return session
        if found is None:
            return session
        written = msgspec.msgpack.decode(found[1], type=Written)
        if written.seq != self._recorded_seq:
            return session
        self._unlogged = True
        return apply(session, written.noted)

    async def close(self) -> None:
        """Finish what was accepted and leave the newest state in the log."""
        await self._turn.close()
        if self._unlogged:
            await self._append([], {})
        await self._journal.put_snapshot(msgspec.msgpack.encode(self.session))

    def abandon(self, why: SegueError) -> None:
        """Stop at once: this memory is not to be trusted any more."""
        self._turn.abandon(why)

    # --- what others read ---------------------------------------------------------------------------

    @property
    def owner_epoch(self) -> int:
        return self._journal.owner_epoch

    @property
    def seq(self) -> int:
        return self._journal.seq

    @property
    def idle(self) -> bool:
        return self._turn.idle

    def state(self) -> PlayerState:
        return player_state(self.session, self.context, now_ms=self._clock.now_ms())

    # --- turns --------------------------------------------------------------------------------------

    def post(self, ask: Ask) -> None:
        """Take a message; its answer may come before this returns. Raises Unavailable BUSY."""
        self._turn.post(ask)

    def _handle(self, ask: Ask) -> Rest | None:
        if ask.command_id is not None and (stored := self._stored_reply(ask.command_id)) is not None:
            _answer(ask, stored)
            return None
        try:
            self._check(ask)
            if isinstance(ask.command, Play | AddToQueue | RestoreQueue):
                return self._fetch_and_decide(ask)
            return self._decide(ask, self._world(ask))
        except SegueError as error:
            self._refuse(ask, error)
            return None

    def _check(self, ask: Ask) -> None:
        if ask.if_device_epoch is not None and ask.if_device_epoch != self.session.device_epoch:
            raise SegueError(
                Code.STALE_EPOCH,
                f"command for device epoch {ask.if_device_epoch} rejected: it is {self.session.device_epoch}",
                {"device_epoch": self.session.device_epoch},
            )
        if ask.if_queue_version is not None:
            check_queue_version(self.session, ask.if_queue_version)

    def _world(self, ask: Ask, *, target: Context | None = None, parked: Context | None = None) -> World:
        return World(
            context=self.context,
            target=target,
            parked=parked,
            actor_id=ask.actor_id,
            device_id=ask.device_id,
            resume_ms=self._resume_ms,
        )

    async def _fetch_and_decide(self, ask: Ask) -> None:
        try:
            target = parked = None
            async with asyncio.timeout(FETCH_DEADLINE_S):
                match ask.command:
                    case Play(context_uri=str() as context_uri):
                        target = await self._contexts.resolve(Uri(context_uri))
                    case Play(uris=uris) | AddToQueue(uris=uris):
                        target = await self._contexts.of_tracks(uris) if uris else None
                    case RestoreQueue():
                        parked = await self._for_listener(
                            await self._context_of(parked_context(self.session))
                        )
                    case _:
                        raise AssertionError(f"{type(ask.command).__name__} needs nothing fetched")
                target = await self._for_listener(target) if target is not None else None
            self._note_current()
            rest = self._decide(ask, self._world(ask, target=target, parked=parked), parked or target)
        except TimeoutError:
            late = Unavailable(Code.TIMEOUT, "catalogue asked: no answer in time", None, Millis(500))
            self._refuse(ask, late)
            return
        except SegueError as error:
            self._refuse(ask, error)
            return
        if rest is not None:
            await rest

    def _decide(self, ask: Ask, world: World, fetched: Context | None = None) -> Rest | None:
        events = decide(self.session, ask.command, world, now_ms=self._clock.now_ms())
        if not events:
            if ask.done is not None:
                ask.done()
            _answer(ask, self._reply(ask, changed=False))
            return None
        for event in events:
            if is_durable(event):
                return self._commit(ask, events, fetched)
        self._apply(ask, events, durable=False)
        return None

    async def _commit(self, ask: Ask, events: list[Event], fetched: Context | None) -> None:
        try:
            reply = self._reply(ask, changed=True, seq=self.seq + 1)
            await self._append(events, {ask.command_id: reply} if ask.command_id else {})
        except SegueError as error:
            self._refuse(ask, error)
            if isinstance(error, Fenced) or self._journal.in_doubt:
                # What is in the log is not what is in here, or nobody knows: only the log can say.
                self._lost(error)
            return
        if isinstance(ask.command, Play | RestoreQueue):
            # Once more: the filter may have been set while this was fetched and written.
            self.context = (
                withholding(fetched, explicit=self._explicit_filter) if fetched is not None else None
            )
        self._apply(ask, events, durable=True)
        await self._journal.put_snapshot_if_due(lambda: msgspec.msgpack.encode(self.session))

    async def _append(self, events: list[Event], replies: dict[CommandId, Reply]) -> None:
        logged: list[Event] = [PlayheadNoted(playhead=self.session.playhead)] if self._unlogged else []
        stored = {command_id: msgspec.msgpack.encode(reply) for command_id, reply in replies.items()}
        record = Record(events=tuple(logged + events), replies=stored, at_ms=self._clock.now_ms())
        await self._journal.append(encode_record(record))
        self._recorded_seq = self._journal.seq
        self._unlogged = self._unwritten = False
        for command_id, data in stored.items():
            self.session = remember(self.session, command_id, data, record.at_ms)

    def _apply(self, ask: Ask, events: list[Event], *, durable: bool) -> None:
        session = self.session
        for event in events:
            session = apply(session, event)
        if session.play_id != self.session.play_id:
            self._note_current()
            self._left(self.session)
        elif self.session.playhead.is_playing and not session.playhead.is_playing:
            self._rested(session)
        self.session = session
        if not durable:
            self._unwritten = self._unlogged = True
        if ask.done is not None:
            ask.done()
        delta = player_delta(events, session, self.context, now_ms=self._clock.now_ms())
        self._publish(
            Push(
                owner_epoch=self.owner_epoch,
                seq=self.seq,
                player=delta,
                durable=durable,
                command_id=ask.command_id,
            )
        )
        if ask.command_id is not None and not durable:
            self._keep_volatile(ask.command_id)
        _answer(ask, self._reply(ask, changed=True))
        if durable:
            self._after_durable(ask)

    def _after_durable(self, ask: Ask) -> None:
        self._changed()
        if not isinstance(ask.command, FillAutoplay):
            self._autoplay_dry = False
        if not self._autoplay_dry and wants_autoplay(self.session, self.context):
            self._autoplay_dry = True
            if self._filling is None:
                self._filling = asyncio.get_running_loop().create_task(self._fill_autoplay())

    async def _fill_autoplay(self) -> None:
        # Outside the turn: a slow search must not hold up a pause. What it found comes as a message.
        seeds = autoplay_seeds(self.session, self.context)
        try:
            async with asyncio.timeout(FETCH_DEADLINE_S):
                candidates = await self._autoplay.candidates(seeds, AUTOPLAY_BATCH)
            heard = tuple(each for each in candidates if not (self._explicit_filter and each.explicit))
            if heard:
                self.post(Ask(FillAutoplay(candidates=heard)))
        except (SegueError, TimeoutError) as error:
            # The music goes on with what the lanes hold; the next durable change asks again.
            log.warning("autoplay_not_found", user_id=self.user_id, why=str(error))
        except Exception:
            log.exception("autoplay_failed", user_id=self.user_id)
        finally:
            self._filling = None

    # --- replies ------------------------------------------------------------------------------------

    def _reply(self, ask: Ask, *, changed: bool, seq: int | None = None) -> Reply:
        return Reply(
            command_id=ask.command_id or CommandId(""),
            ok=True,
            seq=self.seq if seq is None else seq,
            result={"changed": changed},
        )

    def _refuse(self, ask: Ask, error: SegueError) -> None:
        if ask.answer is not None and ask.command_id is not None:
            ask.answer(refusal(ask.command_id, self.seq, error))
        elif ask.refused is not None:
            ask.refused(error)

    def _keep_volatile(self, command_id: CommandId) -> None:
        self._volatile_replies[command_id] = self.seq
        if len(self._volatile_replies) > REPLIES_MAX:
            del self._volatile_replies[next(iter(self._volatile_replies))]

    def _stored_reply(self, command_id: CommandId) -> Reply | None:
        seq = self._volatile_replies.get(command_id)
        if seq is not None:
            return Reply(command_id=command_id, ok=True, seq=seq, result={"changed": True})
        stored = recall(self.session, command_id, self._clock.now_ms())
        return msgspec.msgpack.decode(stored, type=Reply) if stored is not None else None

    # --- written behind -----------------------------------------------------------------------------

    @property
    def _written_key(self) -> str:
        return f"playhead/{self.session_id}"

    @property
    def unwritten(self) -> bool:
        """Whether the playhead moved since it was last written behind."""
        return self._unwritten

    async def write_behind(self) -> None:
        """Keep the newest playhead where a new owner finds it. Called about once a second by the host."""
        if not self._unwritten:
            return
        self._unwritten = False
        written = Written(seq=self._recorded_seq, noted=PlayheadNoted(playhead=self.session.playhead))
        try:
            await self._volatile.put(
                self._written_key,
                msgspec.msgpack.encode(written),
                epoch=self.owner_epoch,
                ttl_ms=PLAYHEAD_TTL_MS,
            )
        except (SegueError, asyncio.CancelledError):
            self._unwritten = True
            raise


def refusal(command_id: CommandId, seq: int, error: SegueError) -> Reply:
    """The reply that tells an error."""
    return Reply(
        command_id=command_id,
        ok=False,
        seq=seq,
        error=ErrorBody(
            code=error.code,
            message=error.message,
            details=dict(error.details),
            retry_after_ms=error.retry_after_ms,
        ),
    )


def _answer(ask: Ask, reply: Reply) -> None:
    if ask.answer is not None:
        ask.answer(reply)


def _replay(session: Session, record: Record) -> Session:
    for event in record.events:
        session = apply(session, event)
    for command_id, reply in record.replies.items():
        session = remember(session, command_id, reply, record.at_ms)
    return session
