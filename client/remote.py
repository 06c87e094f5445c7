"""`Remote`: a session from the outside: send commands, watch the state. It plays nothing itself.

async with Remote("http://127.0.0.1:8000", username="ada", password="…") as remote:
    kitchen = await remote.wait_for_device("Kitchen", within_s=5)
    await remote.command(Transfer(device_id=kitchen.device_id))
    await remote.wait_for(lambda player: player.is_playing, within_s=5)
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

from client.api import Api, Credentials
from client.link import COMMAND_WITHIN_S, SUBPROTOCOLS, Link
from client.state import Mirror
from client.timing import SteadyClock
from connect.frames import Capabilities, Device, DeviceInfo, DeviceType, Reply, ServerFrame
from kernel.errors import Code, SegueError, Unavailable
from kernel.ids import DeviceId, PlayId, ulid
from kernel.units import Millis
from sessions.commands import Command, ForgetDevice
from sessions.view import PlayerState

CONNECT_WITHIN_S = 15.0
FORGET_WITHIN_S = 1.0


class Remote:
    """A pure controller. Enter it to connect; leaving says goodbye."""

    def __init__(
        self,
        url: str,
        *,
        username: str = "",
        password: str = "",
        access_token: str = "",
        name: str = "Remote",
        device_id: str | None = None,
        api: Api | None = None,
        subprotocols: tuple[str, ...] = SUBPROTOCOLS,
    ) -> None:
        clock = SteadyClock()
        # The one place where a client of ours makes up its chance: ids and jitter, nothing that is replayed.
        rng = Random()
        credentials = Credentials(username=username, password=password, access_token=access_token)
        self.api = Api(url, credentials) if api is None else api
        identity = device_id or f"remote-{ulid(Millis(int(clock.now_ms())), rng).lower()}"
        self._is_passing = device_id is None
        """Nobody will come back under this id, so it takes itself off the list when it leaves."""
        self.mirror = Mirror()
        self.link = Link(
            self.api,
            DeviceInfo(
                device_id=DeviceId(identity),
                name=name,
                type=DeviceType.COMPUTER,
                capabilities=Capabilities(can_be_player=False, is_controllable=False, volume_steps=0),
            ),
            self,
            clock=clock,
            rng=rng,
            mirror=self.mirror,
            subprotocols=subprotocols,
        )
        self._changed = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._run = asyncio.get_running_loop().create_task(self.link.run())
        try:
            await self._until(lambda: self.mirror.player is not None, CONNECT_WITHIN_S, "the first snapshot")
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def player(self) -> PlayerState:
        """The newest state."""
        assert self.mirror.player is not None, "entered, so there was a snapshot"
        return self.mirror.player

    @property
    def devices(self) -> tuple[Device, ...]:
        return self.mirror.devices

    @property
    def position_ms(self) -> Millis:
        """Where the playhead is now."""
        return self.mirror.position_ms(now_ms=self.link.server_ms())

    async def command(self, command: Command, *, within_s: float = COMMAND_WITHIN_S) -> Reply:
        """Send a command and wait for its reply. Raises Rejected, or Unavailable when there is no answer."""
        return await self.link.command(command, within_s=within_s)

    async def wait_for(self, condition: Callable[[PlayerState], bool], *, within_s: float) -> PlayerState:
        """The first state from now on that fulfils `condition`. Raises Unavailable TIMEOUT."""
        await self._until(lambda: condition(self.player), within_s, "the state that was waited for")
        return self.player

    async def wait_for_device(self, name_or_id: str, *, within_s: float) -> Device:
        """The device of that name or id once it is listed. Raises Unavailable TIMEOUT."""
        await self._until(
            lambda: self.mirror.device(name_or_id) is not None, within_s, f"a device called {name_or_id}"
        )
        device = self.mirror.device(name_or_id)
        assert device is not None, "just waited for"
        return device

    # --- the link's listener -------------------------------------------------------------------------

    def on_frame(self, frame: ServerFrame) -> None:
        self._changed.set()

    def on_connection(self, *, online: bool) -> None:
        self._changed.set()

    def playing(self) -> PlayId | None:
        return None

    # -------------------------------------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        run = self._run
        assert run is not None, "a remote is entered before it is used"
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._changed.clear()
                    changed = asyncio.ensure_future(self._changed.wait())
                    try:
                        await asyncio.wait({changed, run}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        changed.cancel()
                    if run.done():
                        run.result()
                        raise Unavailable(Code.GOING_AWAY, f"the connection ended before {what} came")
        except TimeoutError:
            raise Unavailable(Code.TIMEOUT, f"{what} did not come within {within_s} s") from None

    async def _end(self) -> None:
        if self._is_passing and self.link.online:
            with suppress(SegueError):
                await self.link.command(
                    ForgetDevice(device_id=self.link.device.device_id), within_s=FORGET_WITHIN_S
                )
        await self.link.close()
        if self._run is not None:
            self._run.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._run
        await self.api.close()
