"""A device that behaves like the real client: the real link, real retries, ready at once for a handoff."""

import asyncio
from collections.abc import Callable
from random import Random

from client.api import Doorkeeper
from client.link import Link
from client.socket_dial import Dial
from client.state import Applied, Mirror
from connect.frames import (
    Capabilities,
    DeviceInfo,
    Prepare,
    Push,
    Ready,
    ServerFrame,
    Snapshot,
    Switch,
    Switched,
)
from kernel.errors import Rejected, Unavailable
from kernel.ids import DeviceId, PlayId, Uri, UserId
from kernel.units import Clock, Millis
from sessions.commands import AddToQueue, Command, Pause, Play, SeekTo, Transfer
from tests.simulate.checks import Broken, Checks, Edits

COMMAND_WITHIN_S = 15.0
LAST_WITHIN_S = 40.0


class WatchedMirror(Mirror):
    """Tells of a push that should have come before."""

    def __init__(self, name: str, checks: Checks) -> None:
        super().__init__()
        self._name = name
        self._checks = checks
        self._device_epoch = 0

    def take(self, frame: Snapshot | Push) -> Applied:
        before = self.owner_epoch, self.seq
        applied = super().take(frame)
        if applied is Applied.HOLE and self.player is not None:
            raise self._checks.fail(
                f"pushes: {self._name} got {frame.owner_epoch}/{frame.seq} after {before[0]}/{before[1]}"
            )
        if applied is Applied.TAKEN and self.player is not None:
            if self.player.device_epoch < self._device_epoch:
                raise self._checks.fail(
                    f"device epoch: {self._name} saw {self.player.device_epoch} after {self._device_epoch}"
                )
            self._device_epoch = self.player.device_epoch
        return applied


class SimulatedDevice:
    def __init__(
        self,
        user_id: UserId,
        name: str,
        *,
        track: Uri,
        context: Uri,
        doorkeeper: Doorkeeper,
        dial: Dial,
        clock: Clock,
        rng: Random,
        checks: Checks,
        trace: Callable[[str], None],
    ) -> None:
        self.user_id = user_id
        self.name = name
        self.edits = Edits()
        self.others: list[DeviceId] = []
        self._track = track
        self._context = context
        self._clock = clock
        self._rng = rng
        self._checks = checks
        self._trace = trace
        self.link = Link(
            doorkeeper,
            DeviceInfo(device_id=DeviceId(name), name=name, capabilities=Capabilities(supports_prepare=True)),
            self,
            clock=clock,
            rng=rng,
            mirror=WatchedMirror(name, checks),
            dial=dial,
        )

    async def live(self) -> None:
        """Be connected for ever."""
        await self.link.run()

    async def ask(self, ends_s: float) -> None:
        """Command after command until `ends_s`."""
        loop = asyncio.get_running_loop()
        while loop.time() < ends_s:
            await asyncio.sleep(self._rng.uniform(0.2, 2.0))
            await self._command(self._choose(), COMMAND_WITHIN_S)

    async def ask_for_the_last_time(self) -> None:
        """Nothing is wrong any more, so this is answered. Raises Broken."""
        if not await self._command(AddToQueue(uris=(self._track,)), LAST_WITHIN_S):
            raise Broken(f"liveness: {self.name} got no answer within {LAST_WITHIN_S} s of peace")

    def _choose(self) -> Command:
        luck = self._rng.random()
        if luck < 0.6:
            return AddToQueue(uris=(self._track,))
        if luck < 0.7:
            return Play(context_uri=self._context)
        if luck < 0.8:
            return SeekTo(position_ms=Millis(self._rng.randrange(60_000)))
        if luck < 0.9:
            return Transfer(device_id=self._rng.choice(self.others))
        # Nothing that takes an item out of the queue, or it could not be counted in the end.
        return Pause()

    async def _command(self, command: Command, within_s: float) -> bool:
        said = type(command).__name__
        counted = self._track if isinstance(command, AddToQueue) else None
        try:
            reply = await self.link.command(command, within_s=within_s)
        except Unavailable as error:
            if counted:
                self.edits.unknown[counted] += 1
            self._trace(f"{self.name} {said}: {error.code}")
            return False
        except Rejected as error:
            self._trace(f"{self.name} {said}: {error.code}")
            return True
        if counted:
            self.edits.acknowledged[counted] += 1
        self._trace(f"{self.name} {said}: done at {reply.seq}")
        return True

    # --- `client.link.Listener` ---------------------------------------------------------------------

    def on_frame(self, frame: ServerFrame) -> None:
        match frame:
            case Snapshot() | Push():
                self._trace(f"{self.name} < {type(frame).__name__} {frame.owner_epoch}/{frame.seq}")
                self._checks.shown(self.user_id, frame)
            case Prepare():
                self.link.offer(
                    Ready(handoff_id=frame.handoff_id, buffered_ms=Millis(5_000), attempt=frame.attempt)
                )
            case Switch():
                wait_s = max(0.0, (frame.start_at_ms - self._clock.now_ms()) / 1000)
                asyncio.get_running_loop().call_later(wait_s, self._switched, frame)
            case _:
                pass

    def _switched(self, switch: Switch) -> None:
        at_ms = float(self._clock.now_ms())
        self.link.offer(
            Switched(handoff_id=switch.handoff_id, at_ms=at_ms, position_ms=float(switch.position_ms))
        )

    def on_connection(self, *, online: bool) -> None:
        self._trace(f"{self.name} {'online' if online else 'offline'}")

    def playing(self) -> PlayId | None:
        return None
