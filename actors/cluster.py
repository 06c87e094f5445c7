"""Ray, for the actors: the only file of this package that imports it.

A host is a plain class, wrapped here once, by name, so that Ray imports its module on the worker instead
of copying it. Every call has a deadline of its own: Ray notices dead processes fast and dead nodes slowly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, PendingCallsLimitExceeded, RayActorError, RayTaskError

from connect.codec import Encoding, decode_server, encode
from connect.frames import CommandFrame, Reply, Snapshot
from kernel.errors import Code, SegueError, Unavailable
from kernel.ids import DeviceId, HostId, UserId
from kernel.units import Millis
from storage.together import Together

NAMESPACE = "segue"
CALL_DEADLINE_S = 12.0
OPENED_DEADLINE_S = 1.0
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
LOOKS_TOGETHER_MAX = 64
LOOKS_WAITING_MAX = 1_000
LOOK_CALLS_MAX = 2
"""To one host at a time: while one is answered, the next one fills."""
OPTIONS: dict[str, Any] = {  # as Ray spells them
    # A laptop has two cores and wants both for two hosts; on a cluster the operator gives each host one.
    "num_cpus": 0,
    "max_restarts": 0,
    "max_task_retries": 0,
    "max_concurrency": 1000,
    "max_pending_calls": 1000,
    "namespace": NAMESPACE,
}

ANY_LIFE = 0
"""Lives are counted from 1."""

T = TypeVar("T")
Handle: TypeAlias = "ActorHandle[Any]"


class Process(Protocol):
    """What runs as an actor of its own: started once, stopped once."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def lasts(self, incarnation: int) -> None:
        """Waits until that life of the process ends: for ever, as far as the process itself can tell."""
        ...


def actor_name(host_id: HostId) -> str:
    return f"host/{host_id}"


class Spawned:
    """An actor of ours, for whoever started it."""

    def __init__(self, name: str, handle: Handle) -> None:
        self.name: str = name
        self._handle = handle

    async def start(self) -> None:
        """Raises what the process raised, Unavailable TIMEOUT after a minute."""
        await _asked(self.name, self._handle.start.remote(), START_DEADLINE_S)

    async def stop(self) -> None:
        """Let it finish its work, then end it. A process that is gone already is no error, and its name is
        free afterwards: Ray 2.60 keeps the name of an actor whose process was killed until it is told."""
        with suppress(Unavailable):
            await _asked(self.name, self._handle.stop.remote(), STOP_DEADLINE_S)
        ray.kill(self._handle)

    async def wait_for_end(self) -> None:
        """Until its process has ended, however it did."""
        with suppress(RayActorError):
            await self._handle.lasts.remote(ANY_LIFE)

    def forget(self) -> None:
        """Free the name of one that has ended."""
        ray.kill(self._handle)


def spawn(name: str, process: Callable[..., Process], *args: object) -> Spawned:
    """A new actor named `name` that runs `process(*args)`. It ends with the driver."""
    return Spawned(name, ray.remote(**OPTIONS)(process).options(name=name).remote(*args))


class RayHost:
    """`actors.references.HostRef` for a host in another process.

    Frames cross as msgpack: pickle takes a snapshot of 80 queue items apart one by one.
    """

    def __init__(self, host_id: HostId) -> None:
        self._host_id = host_id
        self._handle: Handle | None = None
        # A Ray call costs more than the look that it asks for, so looks that come together share one.
        self._looks: Together[UserId, bytes | None] = Together(
            f"looks at {host_id}",
            self._look_many,
            items_max=LOOKS_TOGETHER_MAX,
            waiting_max=LOOKS_WAITING_MAX,
            requests_max=LOOK_CALLS_MAX,
        )

    async def command(self, user_id: UserId, frame: CommandFrame, device_id: DeviceId | None) -> Reply:
        data = encode(frame, Encoding.MSGPACK)
        answer: bytes = await self._ask(lambda handle: handle.command.remote(user_id, data, device_id))
        reply = decode_server(answer, Encoding.MSGPACK)
        assert isinstance(reply, Reply), "a command is answered by a reply"
        return reply

    async def look(self, user_id: UserId) -> Snapshot:
        [seen] = await self._looks.submit([user_id])
        if seen is None:
            # Not active: a call of its own may wait for the log, and says what is wrong.
            alone: bytes = await self._ask(lambda handle: handle.look.remote(user_id))
            seen = alone
        snapshot = decode_server(seen, Encoding.MSGPACK)
        assert isinstance(snapshot, Snapshot), "a look is answered by a snapshot"
        return snapshot

    async def reread(self, user_id: UserId) -> Snapshot:
        snapshot = decode_server(
            await self._ask(lambda handle: handle.reread.remote(user_id)), Encoding.MSGPACK
        )
        assert isinstance(snapshot, Snapshot), "so is this"
        return snapshot

    async def _look_many(self, user_ids: Sequence[UserId]) -> list[bytes | None]:
        return await self._ask(lambda handle: handle.look_many.remote(list(user_ids)))

    async def _ask(self, call: Callable[[Handle], Awaitable[T]]) -> T:
        if self._handle is None:
            try:
                self._handle = ray.get_actor(actor_name(self._host_id), namespace=NAMESPACE)
            except ValueError:
                raise _gone(self._host_id) from None
        try:
            return await _asked(self._host_id, call(self._handle), CALL_DEADLINE_S)
        except PendingCallsLimitExceeded:
            raise Unavailable(
                Code.BUSY, f"{self._host_id} asked: too many calls are waiting", None, Millis(500)
            ) from None
        except Unavailable as error:
            if error.code is Code.NOT_OWNER:
                self._handle = None
            raise


_hosts: dict[HostId, RayHost] = {}


def find_host(host_id: HostId) -> RayHost:
    """The host of that name; asked for by name at its first call. Handles are few and kept."""
    return _hosts.setdefault(host_id, RayHost(host_id))


async def wait_for_exit(host_id: HostId, incarnation: int) -> None:
    """Returns when that life of the host has certainly ended: Ray knows within some milliseconds.

    Raises Unavailable when Ray cannot tell: the host is of another cluster, or out of reach and may live.
    """
    try:
        handle = await asyncio.to_thread(ray.get_actor, actor_name(host_id), namespace=NAMESPACE)
    except ValueError:
        raise _gone(host_id) from None
    try:
        await handle.lasts.remote(incarnation)
    except ActorDiedError:
        return
    except RayActorError:
        raise _gone(host_id) from None


async def tell_opened(host_id: HostId, shards: Mapping[int, int]) -> None:
    """Tell a host that it owns these (shard to epoch). Raises Unavailable."""
    try:
        handle = await asyncio.to_thread(ray.get_actor, actor_name(host_id), namespace=NAMESPACE)
    except ValueError:
        raise _gone(host_id) from None
    await _asked(host_id, handle.opened.remote(dict(shards)), OPENED_DEADLINE_S)


async def _asked(name: str, answer: Awaitable[T], deadline_s: float) -> T:
    try:
        return await asyncio.wait_for(answer, deadline_s)
    except TimeoutError:
        raise Unavailable(Code.TIMEOUT, f"{name} asked: no answer within {deadline_s} s") from None
    except RayTaskError as error:
        if isinstance(error.cause, SegueError):
            raise error.cause from None
        raise
    except RayActorError:
        raise _gone(name) from None


def _gone(name: str) -> Unavailable:
    return Unavailable(Code.NOT_OWNER, f"{name} asked: it is not running", None, Millis(1000))
