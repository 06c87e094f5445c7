"""The leases of one user's active device: written when what it needs changes, renewed before they run out.

One writing at a time; what changes meanwhile is written right after. A handoff's target is served here too.
"""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from actors.audience import Audience
from actors.devices import Devices
from actors.media_desk import MediaDesk, Wanted
from actors.user_session import UserSession
from catalog.model import Codec, Plan, Rendition
from connect.frames import DeviceInfo, Lease, Media
from kernel.errors import Code, Unavailable
from kernel.ids import DeviceId, PlayId, Uri
from kernel.units import Clock
from sessions.upcoming import upcoming

AGAIN_MS = 1_000
"""After a catalogue that did not answer."""
RENDITIONS_KEPT = 2
"""Of what plays and what comes next the device may hold bytes already: their quality does not change."""

log = structlog.get_logger()


class Leasing:
    """What the active device may fetch."""

    __slots__ = (
        "_again",
        "_audience",
        "_clock",
        "_desk",
        "_devices",
        "_held",
        "_held_for",
        "_may_act",
        "_prefetch_items",
        "_session",
        "_spawn",
        "_task",
        "_throughput_kbps",
        "_written",
        "closed",
        "due_ms",
        "plan",
    )

    def __init__(
        self,
        *,
        session: UserSession,
        devices: Devices,
        audience: Audience,
        desk: MediaDesk,
        clock: Clock,
        prefetch_items: int,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        written: Callable[[], None],
        may_act: Callable[[], bool],
    ) -> None:
        self.plan = Plan.FREE
        """As the last ticket said."""
        self.closed = False
        """Nothing more is written."""
        self.due_ms: int | None = None
        """When they are to be renewed; None when there are none."""
        self._session = session
        self._devices = devices
        self._audience = audience
        self._desk = desk
        self._clock = clock
        self._prefetch_items = prefetch_items
        self._spawn = spawn
        self._written = written
        self._may_act = may_act
        self._throughput_kbps: dict[DeviceId, int] = {}
        self._held: Media | None = None
        """What the active device was sent last."""
        self._held_for: tuple[int, list[PlayId]] | None = None
        """Device epoch and plays of those; None when they are to be written in any case."""
        self._again = False
        self._task: asyncio.Task[None] | None = None

    def measured(self, device_id: DeviceId, throughput_kbps: int) -> None:
        """How fast a device fetched; the next track's quality follows it."""
        self._throughput_kbps[device_id] = throughput_kbps

    def refresh(self) -> None:
        """Write them unless the active device has just these."""
        if self.closed:
            return
        if self._task is not None:
            self._again = True
            return
        self._task = self._spawn(self._write())

    def renew(self) -> None:
        """Write them in any case."""
        self._held_for = self.due_ms = None
        self.refresh()

    async def _write(self) -> None:
        try:
            while True:
                self._again = False
                await self._write_once()
                if not self._again:
                    return
        except Unavailable as error:
            self.due_ms = self._clock.now_ms() + AGAIN_MS
            self._written()
            log.warning("leases_not_written", user_id=self._session.user_id, why=str(error))
        finally:
            self._task = None

    async def _write_once(self) -> None:
        session = self._session.session
        device = self._devices.info(session.active_device_id)
        if device is None:
            self._held = self._held_for = self.due_ms = None
            return
        wanted = self._wanted()
        wanted_for = session.device_epoch, [item.play_id for item in wanted]
        if wanted_for == self._held_for:
            return
        self._held_for = wanted_for
        leases = await self._leases(wanted, device, session.device_epoch)
        self._held = Media(device_epoch=session.device_epoch, leases=leases)
        self.due_ms = self._clock.now_ms() + self._desk.lease_ms // 2 if leases else None
        peer = self._audience.peers.get(device.device_id)
        if peer is not None:
            peer.send(self._held)
        self._written()

    def _wanted(self) -> list[Wanted]:
        session = self._session.session
        wanted = []
        if session.current is not None and session.play_id is not None:
            wanted.append(Wanted(session.current.uid, session.play_id, session.current.uri))
        for item, play_id in upcoming(session, self._session.context, self._prefetch_items):
            wanted.append(Wanted(item.uid, play_id, item.uri))
        return wanted

    async def _leases(self, wanted: list[Wanted], device: DeviceInfo, device_epoch: int) -> tuple[Lease, ...]:
        """Raises Unavailable, also while this host may not act: who was replaced signs nothing."""
        if not self._may_act():
            raise Unavailable(Code.STORE_UNAVAILABLE, "no lease is signed while the host's own does not hold")
        held = self._held
        chosen: dict[PlayId, str] = {}
        if held is not None and held.device_epoch == device_epoch:
            chosen = {lease.play_id: lease.rendition for lease in held.leases[:RENDITIONS_KEPT]}
        return await self._desk.leases(
            wanted,
            user_id=self._session.user_id,
            session_id=self._session.session.session_id,
            device=device,
            device_epoch=device_epoch,
            plan=self.plan,
            throughput_kbps=self._throughput_kbps.get(device.device_id),
            chosen=chosen,
        )

    # --- for a handoff; see `actors.handoffs.Media` ----------------------------------------------------

    async def handoff_lease(self, device: DeviceInfo, *, device_epoch: int) -> Lease | None:
        """For the current item; None when this device may or can not play it."""
        wanted = self._wanted()[:1] if self._session.session.current is not None else []
        leases = await self._leases(wanted, device, device_epoch)
        return leases[0] if leases else None

    async def offered(self, track_uri: Uri, device: DeviceInfo) -> tuple[frozenset[Codec], Rendition | None]:
        """The codecs there are of a track, and the rendition this device would get."""
        throughput_kbps = self._throughput_kbps.get(device.device_id)
        return await self._desk.offered(track_uri, device, self.plan, throughput_kbps)
