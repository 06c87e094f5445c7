"""`HeadlessDevice`: a player without a face. A link, a player and an output on one loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

from client.api import Doorkeeper
from client.link import SUBPROTOCOLS, Link
from client.output import Output
from client.player import Player
from client.state import Mirror
from client.timing import DeviceClock, SteadyClock
from connect.frames import (
    Capabilities,
    ClientFrame,
    DeviceInfo,
    DeviceType,
    GoodbyeReason,
    ServerFrame,
    SetVolumeFrame,
)
from kernel.ids import DeviceId, PlayId, ulid
from kernel.units import Millis

IDLE_S = 60.0
"""The loop looks at the player at least so often."""


class HeadlessDevice:
    """One device. `run` plays until `close`."""

    def __init__(
        self,
        name: str,
        doorkeeper: Doorkeeper,
        output: Output,
        *,
        device_id: DeviceId,
        clock: DeviceClock | None = None,
        rng: Random | None = None,
        volume_percent: int = 50,
        subprotocols: tuple[str, ...] = SUBPROTOCOLS,
        on_frame: Callable[[ServerFrame], None] | None = None,
    ) -> None:
        clock = SteadyClock() if clock is None else clock
        self.output = output
        self._watcher = on_frame
        self.mirror = Mirror()
        self.link = Link(
            doorkeeper,
            DeviceInfo(
                device_id=device_id,
                name=name,
                type=DeviceType.SPEAKER,
                capabilities=Capabilities(codecs=output.codecs),
                volume_percent=volume_percent,
            ),
            self,
            clock=clock,
            rng=Random() if rng is None else rng,
            mirror=self.mirror,
            subprotocols=subprotocols,
        )
        self.player = Player(
            device_id, output, mirror=self.mirror, now_ms=self.link.server_ms, send=self._send
        )
        self._stirred = asyncio.Event()
        output.set_volume(percent=volume_percent, muted=False)

    async def run(self) -> None:
        """Raises Rejected when the server will not have us: wrong password, replaced by another socket."""
        ticking = asyncio.get_running_loop().create_task(self._tick())
        try:
            await self.link.run()
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
            await self.output.close()

    async def close(self, reason: GoodbyeReason = GoodbyeReason.SHUTDOWN) -> None:
        await self.link.close(reason)

    # --- the link's listener -------------------------------------------------------------------------

    def on_frame(self, frame: ServerFrame) -> None:
        if isinstance(frame, SetVolumeFrame):
            # The next hello says what is true, so that a reconnect moves no volume.
            self.link.device = msgspec.structs.replace(
                self.link.device, volume_percent=frame.volume_percent, muted=frame.muted
            )
        self.player.on_frame(frame)
        self._stirred.set()
        if self._watcher is not None:
            self._watcher(frame)

    def on_connection(self, *, online: bool) -> None:
        if online:
            self.player.on_reconnect()
        self._stirred.set()

    def playing(self) -> PlayId | None:
        return self.player.play_id

    # -------------------------------------------------------------------------------------------------

    def _send(self, frame: ClientFrame) -> None:
        self.link.offer(frame)
        # What the player sent may have moved its next deadline.
        self._stirred.set()

    async def _tick(self) -> None:
        while True:
            self.player.tick()
            self._stirred.clear()
            wake_at_ms = self.player.wake_at_ms()
            wait_s = IDLE_S if wake_at_ms is None else (wake_at_ms - self.link.server_ms()) / 1000
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(0.0, wait_s), IDLE_S)):
                    await self._stirred.wait()


def kept_device_id(folder: Path, name: str, *, now_ms: Millis, rng: Random) -> DeviceId:
    """The id that a device of this name has on this machine: made at its first start and kept in `folder`."""
    known = "".join(letter if letter.isalnum() else "-" for letter in name.casefold())[:64] or "device"
    path = folder / f"device-{known}"
    with suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return DeviceId(kept)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    device_id = DeviceId(f"headless-{ulid(now_ms, rng).lower()}")
    path.write_text(f"{device_id}\n")
    return device_id
