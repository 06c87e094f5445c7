"""What the edge knows of devices that are no longer active: the newest device epoch of each session.

A host writes `device-epoch/<session id>` when it commits a switch, and every edge polls for what changed. So
for up to POLL_S (and however long the store is away) the old device may still fetch what its lease covers.
That grace is meant: the source of a handoff plays until the switch, and a lease ends by itself within two
minutes. A session that was never written about has no entry, and its leases are good for what they say.
"""

import asyncio
from collections import OrderedDict
from contextlib import suppress

import structlog

from kernel.errors import Code, Rejected, Unavailable
from kernel.ids import SessionId
from kernel.units import Clock
from media.leases import DEVICE_EPOCH_PREFIX, LeaseClaims
from storage.ports import Volatile

POLL_S = 0.25
SESSIONS_MAX = 200_000
"""Some 200 bytes each. When full the oldest goes, and its leases are good until they run out."""
POLLS_PER_TICK_MAX = 100
"""The store gives changes in pages; a storm of them is read in one go, but not without end."""

_log = structlog.get_logger(__name__)


class Revocations:
    def __init__(self, volatile: Volatile, clock: Clock, *, lease_s: int) -> None:
        self._volatile = volatile
        self._clock = clock
        # After twice a lease's life no lease of an older epoch can be alive, so the entry has done its work.
        self._keep_s = 2.0 * lease_s
        # session -> (epoch, tick at which we learnt it), oldest first.
        self._newest: OrderedDict[SessionId, tuple[int, float]] = OrderedDict()
        self._cursor = 0
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_current(self) -> bool:
        """Whether the last poll was answered."""
        return not self._failing

    def require_current(self, claims: LeaseClaims) -> None:
        """Raises Rejected LEASE_REVOKED when the session has gone on to another device since."""
        newest = self._newest.get(claims.session_id)
        if newest is not None and claims.device_epoch < newest[0]:
            raise Rejected(
                Code.LEASE_REVOKED,
                f"stream lease rejected: it is for device epoch {claims.device_epoch}, the session is at"
                f" {newest[0]}",
            )

    async def poll(self) -> None:
        """Learn what changed since the last poll. Raises Unavailable; then nothing is forgotten."""
        for _ in range(POLLS_PER_TICK_MAX):
            self._cursor, changes = await self._volatile.changed(DEVICE_EPOCH_PREFIX, since=self._cursor)
            for key, epoch, _ in changes:
                self._learn(SessionId(key.removeprefix(DEVICE_EPOCH_PREFIX)), epoch)
            if not changes:
                break
        self._forget()

    def start(self) -> None:
        """Poll in the background until `stop`. Needs a running loop."""
        assert self._task is None, "started twice"
        self._task = asyncio.create_task(self._run(), name="revocations")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self.poll()
                self._failing = False
            except Unavailable as fault:
                if not self._failing:  # once per outage: four lines a second help nobody
                    _log.warning("device epochs not read", reason=str(fault))
                self._failing = True
            await asyncio.sleep(POLL_S)

    def _learn(self, session_id: SessionId, epoch: int) -> None:
        known = self._newest.pop(session_id, (epoch, 0.0))
        # An epoch never goes back, whatever order the news comes in.
        self._newest[session_id] = (max(epoch, known[0]), self._clock.tick_s())
        if len(self._newest) > SESSIONS_MAX:
            self._newest.popitem(last=False)

    def _forget(self) -> None:
        before_s = self._clock.tick_s() - self._keep_s
        while self._newest and next(iter(self._newest.values()))[1] < before_s:
            self._newest.popitem(last=False)

    def __len__(self) -> int:
        return len(self._newest)
