"""One host: the listeners of the shards it owns, and the connections that end here.

A listener (a user's session, devices and audience) is activated from the log when somebody first asks for it
and put away when it has been alone for a while. All that belongs to one user happens in one event loop,
so nothing is locked; what waits is bounded and says so when it is full.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from actors.listener import Listener
from actors.peer import Peer, Transport
from actors.shards import shard_of
from catalog.model import Plan
from connect.codec import Encoding
from connect.frames import CommandFrame, GoAway, Hello, Limits, Reply, Snapshot
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
COMMAND_DEADLINE_S = 10.0

log = structlog.get_logger()


class Ticket(Protocol):
    """What a valid ticket says of its bearer."""

    @property
    def user_id(self) -> UserId: ...

    @property
    def plan(self) -> Plan: ...


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
        put_away_after_s: float = PUT_AWAY_AFTER_S,
    ) -> None:
        self.host_id = host_id
        self._shards = dict(shards)
        """Shard to owner epoch."""
        self._make_listener = make_listener
        self._verify_ticket = verify_ticket
        self._clock = clock
        self._limits = limits
        self._put_away_after_s = put_away_after_s
        self._listeners: dict[UserId, Listener] = {}
        self._opening: dict[UserId, asyncio.Task[Listener]] = {}
        self._closing: dict[UserId, asyncio.Task[None]] = {}
        self._opening_slots = asyncio.Semaphore(OPENING_MAX)
        self._peers: set[Peer] = set()
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
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        for task in list(self._opening.values()):
            await asyncio.wait([task])
        await asyncio.gather(*(self._put_away(user_id) for user_id in list(self._listeners)))

    def statistics(self) -> dict[str, int]:
        return {"peers": len(self._peers), "listeners": len(self._listeners), "shards": len(self._shards)}

    # --- connections --------------------------------------------------------------------------------

    def connected(self, transport: Transport, encoding: Encoding) -> Peer:
        """A socket opened. It has the time of the limits to say hello."""
        now = self._clock.tick_s()
        peer = Peer(transport, Link(encoding, tick_s=now, limits=self._limits), self._clock)
        if self._leaving or len(self._peers) >= PEERS_MAX:
            code = Code.GOING_AWAY if self._leaving else Code.TOO_MANY_CONNECTIONS
            peer.close(SegueError(code, f"{len(self._peers)} sockets are open here", None, Millis(5000)))
            return peer
        self._peers.add(peer)
        return peer

    def receive(self, peer: Peer, data: bytes | str) -> Awaitable[None] | None:
        """One message of a peer. An awaitable means: hand over no further message of it until it is done."""
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
                if peer.listener is not None:
                    peer.listener.receive(peer, got)
                return None

    def disconnected(self, peer: Peer) -> None:
        """Its socket has ended, whoever ended it."""
        peer.closed = True
        self._peers.discard(peer)
        if peer.listener is not None:
            peer.listener.leave(peer)

    async def _greet(self, peer: Peer, hello: Hello) -> None:
        try:
            ticket = await self._verify_ticket(hello.ticket)
            listener = await self.listener(ticket.user_id)
            if not peer.closed:
                peer.listener = listener
                listener.join(peer, hello, ticket.plan)
        except SegueError as error:
            peer.close(error)

    # --- calls --------------------------------------------------------------------------------------

    async def command(self, user_id: UserId, frame: CommandFrame, device_id: DeviceId | None) -> Reply:
        """See `actors.references.HostRef`."""
        listener = await self.listener(user_id)
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(reply: Reply) -> None:
            if not answered.done():
                answered.set_result(reply)

        listener.command(frame, answer=answer, from_device_id=None, at_device_id=device_id)
        try:
            async with asyncio.timeout(COMMAND_DEADLINE_S):
                return await answered
        except TimeoutError:
            raise Unavailable(
                Code.TIMEOUT, f"command {frame.command_id}: no answer within {COMMAND_DEADLINE_S} s"
            ) from None

    async def look(self, user_id: UserId) -> Snapshot:
        """See `actors.references.HostRef`."""
        return (await self.listener(user_id)).snapshot("look")

    # --- activation ---------------------------------------------------------------------------------

    async def listener(self, user_id: UserId) -> Listener:
        """The user's live things, activated if need be.

        Raises Unavailable NOT_OWNER, BUSY, GOING_AWAY, STORE_UNAVAILABLE.
        """
        while user_id in self._closing:
            await asyncio.wait([self._closing[user_id]])
        if user_id in self._listeners:
            return self._listeners[user_id]
        epoch = self._shards.get(shard_of(user_id))
        if epoch is None:
            raise Unavailable(
                Code.NOT_OWNER,
                f"{user_id} asked of {self.host_id}: shard {shard_of(user_id)} is not here",
                None,
                Millis(500),
            )
        if self._leaving:
            raise Unavailable(Code.GOING_AWAY, f"{self.host_id} is shutting down", None, Millis(1000))
        task = self._opening.get(user_id)
        if task is None:
            if len(self._opening) >= OPENING_WAITING_MAX or len(self._listeners) >= LISTENERS_MAX:
                raise Unavailable(
                    Code.BUSY, f"{self.host_id} has no room for {user_id} now", None, Millis(2000)
                )
            task = asyncio.get_running_loop().create_task(self._open(user_id, epoch))
            self._opening[user_id] = task
        return await asyncio.shield(task)

    async def _open(self, user_id: UserId, epoch: int) -> Listener:
        try:
            async with self._opening_slots:
                listener = self._make_listener(user_id, epoch)
                await listener.open(self._lost)
                self._listeners[user_id] = listener
                return listener
        finally:
            del self._opening[user_id]

    def _lost(self, listener: Listener, why: BaseException) -> None:
        """Its memory is not to be trusted (fenced, or a bug): it goes, and comes back from its log."""
        if isinstance(why, SegueError):
            log.warning("listener_fenced", user_id=listener.user_id, host_id=self.host_id, why=str(why))
        else:
            log.error("listener_failed", user_id=listener.user_id, host_id=self.host_id, exc_info=why)
        if self._listeners.get(listener.user_id) is listener:
            del self._listeners[listener.user_id]
        code = Code.NOT_OWNER if isinstance(why, SegueError) else Code.INTERNAL
        for peer in listener.drop():
            peer.close(SegueError(code, "your session has to be loaded again", None, Millis(500)))

    async def _put_away(self, user_id: UserId) -> None:
        listener = self._listeners.pop(user_id)
        # Whoever asks meanwhile waits for the end of it: two instances would race for the same log.
        task = asyncio.get_running_loop().create_task(self._close(listener))
        self._closing[user_id] = task
        await asyncio.wait([task])

    async def _close(self, listener: Listener) -> None:
        try:
            await listener.close()
        except SegueError as error:
            log.warning("listener_not_folded", user_id=listener.user_id, why=str(error))
        finally:
            del self._closing[listener.user_id]

    # --- once a second ------------------------------------------------------------------------------

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Write playheads behind, end silent connections, put away who is alone."""
        now = self._clock.tick_s()
        for peer in list(self._peers):
            closing = peer.link.overdue(now)
            if closing is not None:
                peer.end(closing)
            else:
                peer.drained()
        for user_id, listener in list(self._listeners.items()):
            try:
                await listener.write_behind()
            except SegueError as error:
                log.warning("write_behind_failed", user_id=user_id, why=str(error))
            alone_since_s = listener.alone_since_s
            if alone_since_s is not None and now - alone_since_s > self._put_away_after_s and listener.idle:
                await self._put_away(user_id)
