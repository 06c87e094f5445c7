"""One host: the listeners of the shards it owns, and the connections that end here.

A listener (a user's session, devices and audience) is activated from the log when somebody first asks for it
and put away when it has been alone for a while. All that belongs to one user happens in one event loop,
so nothing is locked; what waits is bounded and says so when it is full.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

import structlog

from actors.listener import Listener
from actors.peer import Peer, Transport
from actors.shards import shard_of
from actors.user_session import refusal
from catalog.model import Plan
from connect.codec import Encoding
from connect.frames import CommandFrame, GoAway, Goodbye, Hello, Limits, Ping, Reply, Snapshot
from connect.link import Closing, Link, Refused
from kernel.errors import Code, SegueError, Unavailable
from kernel.ids import DeviceId, HostId, UserId
from kernel.units import Clock, Millis

PEERS_MAX = 20_000
LISTENERS_MAX = 100_000
OPENING_MAX = 64
"""Activations at once; more wait their turn, up to a bound."""
OPENING_WAITING_MAX = 4_096
PUT_AWAY_AFTER_S = 60.0
SWEEP_EVERY_S = 1.0
WRITE_BEHIND_WITHIN_S = 2.0
"""Of all sessions together; who is not done by then is written at the next sweep or the one after."""
FOLDING_MAX = 64
"""Listeners that are put away at once: each writes to the store, whose queue is bounded too."""
LAGGING_EVERY_S = 0.1
"""How often a connection that does not keep up is looked at."""
COMMAND_DEADLINE_S = 10.0
RELEASE_WITHIN_S = 0.5
"""For the turns that run when a shard moves. Who is not folded by then comes back from its log elsewhere, and
what it still tries to write meets the new owner's fence."""
FENCED_RETRY_MS = Millis(1_000)
MOVED_AFTER_MS = Millis(100)
MOVED_JITTER_MS = Millis(400)
"""Who has to connect again because its shard moved. The music goes on meanwhile."""

log = structlog.get_logger()


class Ticket(Protocol):
    """What a valid ticket says of its bearer."""

    @property
    def user_id(self) -> UserId: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def session_epoch(self) -> int: ...

    @property
    def client_id(self) -> str: ...

    @property
    def family(self) -> str: ...


class EntityHost:
    """Plain class: runs in a test, in one process, or wrapped as a Ray actor by `actors/cluster.py`."""

    def __init__(
        self,
        host_id: HostId,
        *,
        shards: Mapping[int, int],
        make_listener: Callable[[UserId, int], Listener],
        verify_ticket: Callable[[str], Awaitable[Ticket]],
        clock: Clock,
        limits: Limits,
        may_act: Callable[[], bool],
        put_away_after_s: float = PUT_AWAY_AFTER_S,
    ) -> None:
        """`may_act`: whether this host's lease holds (`actors/lease.py`). While it does not, nothing is
        acknowledged, and sockets stay."""
        self.host_id = host_id
        self._shards = dict(shards)
        """Shard to owner epoch."""
        self._make_listener = make_listener
        self._verify_ticket = verify_ticket
        self._may_act = may_act
        self._clock = clock
        self._limits = limits
        self._put_away_after_s = put_away_after_s
        self._listeners: dict[UserId, Listener] = {}
        self._opening: dict[UserId, asyncio.Task[Listener]] = {}
        self._closing: dict[UserId, asyncio.Task[None]] = {}
        self._opening_slots = asyncio.Semaphore(OPENING_MAX)
        self._folding_slots = asyncio.Semaphore(FOLDING_MAX)
        self._peers: set[Peer] = set()
        self._tickets: dict[Peer, Ticket] = {}
        """Of those whose hello was accepted, or is about to be."""
        self._lagging: set[Peer] = set()
        self._lagging_timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._leaving = False

    # --- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the once-a-second work. Needs a running loop."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep_forever())

    async def stop(self) -> None:
        """Ask every device to come back later, fold every listener into its log."""
        self._leaving = True
        for peer in list(self._peers):
            peer.send(GoAway(reason="shutdown", reconnect_after_ms=Millis(1000), jitter_ms=Millis(2000)))
            peer.close(SegueError(Code.GOING_AWAY, "the host is shutting down", None, Millis(1000)))
        if self._lagging_timer is not None:
            self._lagging_timer.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        if self._opening:
            await asyncio.wait(list(self._opening.values()))
        for user_id in list(self._listeners):
            self._put_away(user_id)
        if self._closing:
            await asyncio.wait(list(self._closing.values()))

    def statistics(self) -> dict[str, int]:
        return {"peers": len(self._peers), "listeners": len(self._listeners), "shards": len(self._shards)}

    # --- connections --------------------------------------------------------------------------------

    def connected(self, transport: Transport, encoding: Encoding) -> Peer:
        """A socket opened. It has the time of the limits to say hello."""
        now = self._clock.tick_s()
        peer = Peer(transport, Link(encoding, tick_s=now, limits=self._limits), self._clock, self._lags)
        if self._leaving or len(self._peers) >= PEERS_MAX:
            code = Code.GOING_AWAY if self._leaving else Code.TOO_MANY_CONNECTIONS
            peer.close(SegueError(code, f"{len(self._peers)} sockets are open here", None, Millis(5000)))
            return peer
        self._peers.add(peer)
        return peer

    def receive(self, peer: Peer, data: bytes | str) -> Awaitable[None] | None:
        """One message of a peer. An awaitable means: hand over no further message of it until it is done."""
        if peer.closed:
            return None  # it was sent away; what it says on its way out is not heard
        got = peer.link.receive(data, self._clock.tick_s())
        match got:
            case None:
                return None
            case Refused():
                peer.send(got.answer)
                return None
            case Closing():
                peer.end(got)
                return None
            case Hello():
                return self._greet(peer, got)
            case _:
                # None: it was refused, and its close is on the way.
                if peer.listener is not None and (isinstance(got, Ping | Goodbye) or self._may_act()):
                    peer.listener.receive(peer, got)
                elif isinstance(got, CommandFrame):
                    peer.send(refusal(got.command_id, 0, self._fenced()))
                return None

    def disconnected(self, peer: Peer) -> None:
        """Its socket has ended, whoever ended it."""
        peer.closed = True
        self._peers.discard(peer)
        self._tickets.pop(peer, None)
        self._lagging.discard(peer)
        if peer.listener is not None:
            peer.listener.leave(peer)

    async def _greet(self, peer: Peer, hello: Hello) -> None:
        try:
            ticket = await self._verify_ticket(hello.ticket)
            if not peer.closed:
                self._tickets[peer] = ticket
            listener = await self.listener(ticket.user_id)
            if not peer.closed:
                peer.listener = listener
                listener.join(peer, hello, ticket.plan)
        except SegueError as error:
            peer.close(error)

    def end_withdrawn(self, withdrawn: Callable[[Ticket], bool]) -> int:
        """Close the connections whose ticket does not count any more; gives how many."""
        ended = [peer for peer, ticket in self._tickets.items() if not peer.closed and withdrawn(ticket)]
        for peer in ended:
            peer.close(SegueError(Code.UNAUTHORIZED, "this login was ended; log in again"))
        return len(ended)

    def _lags(self, peer: Peer) -> None:
        self._lagging.add(peer)
        if self._lagging_timer is None and not self._leaving:
            self._look_at_lagging_soon()

    def _look_at_lagging_soon(self) -> None:
        loop = asyncio.get_running_loop()
        self._lagging_timer = loop.call_later(LAGGING_EVERY_S, self._look_at_lagging)

    def _look_at_lagging(self) -> None:
        self._lagging_timer = None
        self._lagging = {peer for peer in self._lagging if not peer.drained()}
        if self._lagging:
            self._look_at_lagging_soon()

    # --- shards -------------------------------------------------------------------------------------

    @property
    def shards(self) -> Mapping[int, int]:
        """What it owns, shard to epoch."""
        return self._shards

    def gain(self, shards: Mapping[int, int]) -> None:
        """These are this host's from now on, shard to epoch. What was opened under an older epoch goes."""
        newer = {shard: epoch for shard, epoch in shards.items() if epoch > self._shards.get(shard, 0)}
        self.lose(self._shards.keys() & newer.keys())
        self._shards.update(newer)

    def lose(self, shards: Collection[int]) -> None:
        """Somebody else has taken these: drop what is of them, at once and unwritten."""
        if not shards:
            return
        for shard in shards:
            self._shards.pop(shard, None)
        for user_id in self._users_of(shards):
            self._listeners.pop(user_id).abandon(self._not_owner(user_id))

    async def release(self, shards: Collection[int]) -> list[Peer]:
        """Fold all that is of these shards into the logs, so that another host may own them.

        Gives the connections, which are still open: `send_on` them when the new owner is there.
        """
        for shard in shards:
            self._shards.pop(shard, None)
        within = set(shards)
        opening = [task for user_id, task in self._opening.items() if shard_of(user_id) in within]
        if opening:
            await asyncio.wait(opening, timeout=RELEASE_WITHIN_S)
        peers = []
        folding = []
        for user_id in self._users_of(shards):
            peers.extend(self._listeners[user_id].peers)
            self._put_away(user_id)
            folding.append(self._closing[user_id])
        if folding:
            await asyncio.wait(folding, timeout=RELEASE_WITHIN_S)
        return peers

    def send_on(self, peers: Collection[Peer]) -> None:
        """Their shard is elsewhere now: `/v1/connect` knows where."""
        moved = SegueError(Code.NOT_OWNER, "your session has moved to another host", None, MOVED_AFTER_MS)
        for peer in peers:
            peer.send(GoAway(reason="moved", reconnect_after_ms=MOVED_AFTER_MS, jitter_ms=MOVED_JITTER_MS))
            peer.close(moved)

    def busy_shards(self) -> set[int]:
        """Shards that somebody would miss."""
        return {shard_of(user_id) for user_id in (*self._listeners, *self._opening)}

    def _users_of(self, shards: Collection[int]) -> list[UserId]:
        within = set(shards)
        return [user_id for user_id in self._listeners if shard_of(user_id) in within]

    def _not_owner(self, user_id: UserId) -> Unavailable:
        return Unavailable(
            Code.NOT_OWNER,
            f"{user_id} asked of {self.host_id}: shard {shard_of(user_id)} is not here",
            None,
            MOVED_AFTER_MS,
        )

    def _fenced(self) -> Unavailable:
        return Unavailable(
            Code.STORE_UNAVAILABLE,
            f"{self.host_id} cannot renew its lease: nothing is acknowledged until it can",
            None,
            FENCED_RETRY_MS,
        )

    # --- calls --------------------------------------------------------------------------------------

    async def command(self, user_id: UserId, frame: CommandFrame, device_id: DeviceId | None) -> Reply:
        """See `actors.references.HostRef`."""
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(reply: Reply) -> None:
            if not answered.done():
                answered.set_result(reply)

        try:
            async with asyncio.timeout(COMMAND_DEADLINE_S):
                listener = await self.listener(user_id)
                listener.command(frame, answer=answer, from_device_id=None, at_device_id=device_id)
                return await answered
        except TimeoutError:
            raise Unavailable(
                Code.TIMEOUT, f"command {frame.command_id}: no answer within {COMMAND_DEADLINE_S} s"
            ) from None

    async def look(self, user_id: UserId) -> Snapshot:
        """See `actors.references.HostRef`."""
        return (await self.listener(user_id)).snapshot("look")

    def look_now(self, user_id: UserId) -> Snapshot | None:
        """The same without waiting for anything; None when only `look` can tell."""
        listener = self._listeners.get(user_id)
        return listener.snapshot("look") if listener is not None and self._may_act() else None

    async def reread(self, user_id: UserId) -> Snapshot:
        """See `actors.references.HostRef`."""
        listener = await self.listener(user_id)
        await listener.session.reread()
        return listener.snapshot("look")

    # --- activation ---------------------------------------------------------------------------------

    async def listener(self, user_id: UserId) -> Listener:
        """The user's live things, activated if need be.

        Raises Unavailable NOT_OWNER, BUSY, GOING_AWAY, STORE_UNAVAILABLE (the host's lease, too).
        """
        while user_id in self._closing:
            await asyncio.wait([self._closing[user_id]])
        if not self._may_act():
            raise self._fenced()
        if user_id in self._listeners:
            return self._listeners[user_id]
        epoch = self._shards.get(shard_of(user_id))
        if epoch is None:
            raise self._not_owner(user_id)
        if self._leaving:
            raise Unavailable(Code.GOING_AWAY, f"{self.host_id} is shutting down", None, Millis(1000))
        task = self._opening.get(user_id)
        if task is None:
            if len(self._opening) >= OPENING_WAITING_MAX or len(self._listeners) >= LISTENERS_MAX:
                raise Unavailable(
                    Code.BUSY, f"{self.host_id} has no room for {user_id} now", None, Millis(2000)
                )
            task = asyncio.get_running_loop().create_task(self._open(user_id, epoch))
            # Whoever waits may be gone by then, and its failure is of no interest to anybody else.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._opening[user_id] = task
        return await asyncio.shield(task)

    async def _open(self, user_id: UserId, epoch: int) -> Listener:
        try:
            async with self._opening_slots:
                listener = self._make_listener(user_id, epoch)
                await listener.open(self._lost)
                if self._shards.get(shard_of(user_id)) != epoch:
                    # The shard went while it was read.
                    moved = self._not_owner(user_id)
                    listener.abandon(moved)
                    raise moved
                self._listeners[user_id] = listener
                return listener
        finally:
            del self._opening[user_id]

    def _lost(self, listener: Listener, why: BaseException) -> None:
        """Its memory is not to be trusted (fenced, in doubt, a bug): it goes, and comes back from its log."""
        if isinstance(why, SegueError):
            log.warning("listener_lost", user_id=listener.user_id, host_id=self.host_id, why=str(why))
        else:
            log.error("listener_failed", user_id=listener.user_id, host_id=self.host_id, exc_info=why)
        if self._listeners.get(listener.user_id) is listener:
            del self._listeners[listener.user_id]
        code = why.code if isinstance(why, SegueError) else Code.INTERNAL
        listener.abandon(SegueError(code, "your session has to be loaded again", None, Millis(500)))

    def _put_away(self, user_id: UserId) -> None:
        # Whoever asks meanwhile waits for the end of it: two instances would race for the same log.
        task = asyncio.get_running_loop().create_task(self._close(self._listeners.pop(user_id)))
        self._closing[user_id] = task

    async def _close(self, listener: Listener) -> None:
        try:
            async with self._folding_slots:
                await listener.close()
        except SegueError as error:
            log.warning("listener_not_folded", user_id=listener.user_id, why=str(error))
        except Exception:
            log.exception("listener_not_folded", user_id=listener.user_id)
        finally:
            del self._closing[listener.user_id]

    # --- once a second ------------------------------------------------------------------------------

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except Exception:
                log.exception("sweep_failed", host_id=self.host_id)

    async def sweep(self) -> None:
        """End silent connections, write playheads behind, put away who is alone."""
        now = self._clock.tick_s()
        for peer in list(self._peers):
            closing = peer.link.overdue(now)
            if closing is not None:
                peer.end(closing)
        await self._write_behind()
        for user_id, listener in list(self._listeners.items()):
            alone_since_s = listener.alone_since_s
            if alone_since_s is not None and now - alone_since_s >= self._put_away_after_s and listener.idle:
                self._put_away(user_id)

    async def _write_behind(self) -> None:
        # All at once: the store takes what comes together in one go.
        writes = [listener.write_behind() for listener in self._listeners.values() if listener.unwritten]
        if not writes:
            return
        try:
            async with asyncio.timeout(WRITE_BEHIND_WITHIN_S):
                failed = [error for error in await asyncio.gather(*writes, return_exceptions=True) if error]
        except TimeoutError:
            log.warning("write_behind_late", host_id=self.host_id, sessions=len(writes))
            return
        for error in failed:
            if not isinstance(error, SegueError):
                raise error
        if failed:
            log.warning("write_behind_failed", host_id=self.host_id, sessions=len(failed), why=str(failed[0]))
