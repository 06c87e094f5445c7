"""A real host in this process, on memory stores, and devices that talk to it without a socket."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import NamedTuple, TypeVar

from actors.assembly import build_host
from actors.clock import SystemClock
from actors.host import PUT_AWAY_AFTER_S, EntityHost, Ticket
from actors.peer import Peer
from actors.shards import N_SHARDS
from catalog.model import Album, Plan
from connect.codec import Encoding, decode_server, encode
from connect.frames import (
    Capabilities,
    ClientFrame,
    CommandFrame,
    DeviceInfo,
    Hello,
    Limits,
    Reply,
    Resume,
    ServerFrame,
    Snapshot,
    Welcome,
)
from kernel.errors import Code, Rejected
from kernel.ids import (
    AlbumId,
    ArtistId,
    CommandId,
    DeviceId,
    HostId,
    TrackId,
    Uri,
    UserId,
    catalogue_id,
    is_catalogue_id,
    uri,
)
from kernel.units import Clock, Millis, TickS
from sessions.commands import Command
from storage.catalogue import Catalogue
from storage.stores import Stores, memory_stores
from tests.support.tracks import LADDER, a_track

ALBUM = AlbumId(catalogue_id("album", "studies"))
ALBUM_URI = uri("album", ALBUM)
TRACKS = tuple(TrackId(catalogue_id("track", number)) for number in range(6))
LATER_TRACKS = tuple(TrackId(catalogue_id("track", "later", number)) for number in range(8))
"""Of the same artist, on another album: what autoplay finds."""
WITHIN_S = 5.0

F = TypeVar("F", bound=ServerFrame)


class AnyTicket(NamedTuple):
    """A ticket that says `user:plan`, and is believed."""

    user_id: UserId
    plan: Plan
    session_epoch: int = 0
    client_id: str = ""
    family: str = ""


async def believe(ticket: str) -> AnyTicket:
    if not ticket.startswith("user-") and not is_catalogue_id(ticket):
        raise Rejected(Code.UNAUTHORIZED, "ticket rejected: it is not one")
    return AnyTicket(UserId(ticket), Plan.PREMIUM)


class FixedSecrets:
    """One key, for leases that only this test reads."""

    def signing_key(self) -> tuple[str, bytes]:
        return "lease-1", b"k" * 32

    def secret(self, kid: str) -> bytes | None:
        return b"k" * 32 if kid == "lease-1" else None


async def fill_catalogue(catalogue: Catalogue) -> None:
    """One album of six tracks, and eight more by the same artist."""
    tracks = [a_track(*LADDER, track_id=track_id) for track_id in TRACKS + LATER_TRACKS]
    await catalogue.put_tracks(tracks)
    await catalogue.put_albums(
        [
            Album(
                album_id=ALBUM,
                title="Studies",
                artist_ids=(ArtistId(catalogue_id("artist", "ada")),),
                artist_names=("Ada",),
                track_ids=TRACKS,
                added_at_ms=Millis(0),
            )
        ]
    )


async def a_host(
    stores: Stores,
    *,
    limits: Limits | None = None,
    owner_epoch: int = 1,
    shards: range = range(N_SHARDS),
    clock: Clock | None = None,
    put_away_after_s: float = PUT_AWAY_AFTER_S,
    verify_ticket: Callable[[str], Awaitable[Ticket]] | None = None,
) -> EntityHost:
    """Not started: a test sweeps by hand."""
    clock = clock or SystemClock()
    return build_host(
        HostId("host-0"),
        shards=dict.fromkeys(shards, owner_epoch),
        stores=stores,
        clock=clock,
        rng=Random(7),
        lease_secrets=FixedSecrets(),
        verify_ticket=verify_ticket or believe,
        edge_url="http://127.0.0.1:8001",
        limits=limits or Limits(),
        put_away_after_s=put_away_after_s,
    )


async def filled_stores() -> Stores:
    """In memory, with the album."""
    stores = memory_stores(SystemClock())
    await fill_catalogue(Catalogue(stores.documents, SystemClock()))
    return stores


async def a_filled_host(*, limits: Limits | None = None) -> tuple[EntityHost, Stores]:
    stores = await filled_stores()
    return await a_host(stores, limits=limits), stores


class SkippingClock(SystemClock):
    """The real clock, which a test may put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ms = 0

    def now_ms(self) -> Millis:
        return Millis(super().now_ms() + self.ahead_ms)

    def tick_s(self) -> TickS:
        return TickS(super().tick_s() + self.ahead_ms / 1000)


class Wire:
    """`actors.peer.Transport` whose other end is the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []
        self.closed: tuple[int, str] | None = None
        self.waiting_bytes = 0
        self.arrived = asyncio.Event()

    def send(self, data: bytes, *, text: bool) -> None:
        if self.closed is None:
            self.sent.append((data, text))
            self.arrived.set()

    def buffered(self) -> int:
        return self.waiting_bytes

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.arrived.set()


class TestDevice:
    """One device and its connection."""

    __test__ = False

    def __init__(
        self,
        host: EntityHost,
        device_id: str,
        *,
        user: str = "user-ada",
        encoding: Encoding = Encoding.MSGPACK,
    ) -> None:
        self.host = host
        self.device_id = DeviceId(device_id)
        self.user = user
        self.encoding = encoding
        self.wire = Wire()
        self.peer: Peer
        self.frames: list[ServerFrame] = []
        self._read = 0
        self._commands = 0
        self._connections = 0

    async def connect(
        self, *, resume: Resume | None = None, can_be_player: bool = True, supports_prepare: bool = True
    ) -> Welcome:
        self._connections += 1
        self.wire = Wire()
        self._read = 0
        self.frames = []
        self.peer = self.host.connected(self.wire, self.encoding)
        info = DeviceInfo(
            device_id=self.device_id,
            name=self.device_id,
            capabilities=Capabilities(can_be_player=can_be_player, supports_prepare=supports_prepare),
        )
        hello = Hello(
            ticket=self.user,
            device=info,
            connection_nonce=f"nonce-{self.device_id}-{self._connections}",
            resume=resume,
        )
        await self.say(hello)
        return await self.wait_for(Welcome)

    async def say(self, frame: ClientFrame) -> None:
        data = encode(frame, self.encoding)
        await self.say_raw(data.decode() if self.encoding is Encoding.JSON else data)

    async def say_raw(self, data: bytes | str) -> None:
        rest = self.host.receive(self.peer, data)
        if rest is not None:
            await rest

    async def command(self, command: Command, *, command_id: str | None = None, **fields: object) -> Reply:
        """Send and wait for the reply."""
        self._commands += 1
        command_id = command_id or f"{self.device_id}-{self._connections}-{self._commands}"
        await self.say(CommandFrame(command_id=CommandId(command_id), command=command, **fields))  # type: ignore[arg-type]
        return await self.wait_for(Reply, lambda reply: reply.command_id == command_id)

    def drop(self) -> None:
        """The network goes away."""
        self.host.disconnected(self.peer)

    def read(self) -> list[ServerFrame]:
        """Everything that has come and was not read yet."""
        fresh = [
            decode_server(data.decode() if text else data, self.encoding)
            for data, text in self.wire.sent[self._read :]
        ]
        self._read = len(self.wire.sent)
        self.frames += fresh
        return fresh

    async def wait_for(self, kind: type[F], fits: Callable[[F], bool] = lambda _: True) -> F:
        """The first frame of this kind that fits, among all that have come or will come soon.

        Raises ConnectionError when the host has closed the connection and it is not among what came before.
        """
        looked = 0
        async with asyncio.timeout(WITHIN_S):
            while True:
                self.read()
                while looked < len(self.frames):
                    frame = self.frames[looked]
                    looked += 1
                    if isinstance(frame, kind) and fits(frame):
                        return frame
                if self.wire.closed is not None:
                    raise ConnectionError(f"no {kind.__name__} came before the end: {self.wire.closed}")
                self.wire.arrived.clear()
                await self.wire.arrived.wait()

    async def wait_closed(self) -> tuple[int, str]:
        async with asyncio.timeout(WITHIN_S):
            while self.wire.closed is None:
                self.wire.arrived.clear()
                await self.wire.arrived.wait()
        return self.wire.closed

    def forget(self) -> None:
        """Frames that came so far no longer count."""
        self.read()
        self.frames = []

    async def snapshot(self) -> Snapshot:
        return await self.wait_for(Snapshot)


def track_uri(number: int) -> Uri:
    return uri("track", TRACKS[number])
