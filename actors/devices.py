"""One user's device set as a live entity. Load, decide, commit, apply; nothing here decides."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from actors.journal import Journal
from actors.turn import Rest, Turn
from connect.device_rules import Decided, Effect, Input, decide
from connect.device_set import DeviceSet, Event, apply, is_durable, is_shown, revived
from connect.frames import DeviceInfo
from kernel.errors import Fenced, SegueError
from kernel.ids import DeviceId
from kernel.units import Clock


class Told(NamedTuple):
    """One message to the devices."""

    said: Input
    done: Callable[[Decided], None] | None = None
    """Called once it is applied (and durable, where it must be)."""
    refused: Callable[[SegueError], None] | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What one place of the log holds."""

    events: tuple[Event, ...]


class Devices:
    """The shell around one `DeviceSet`."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        active: Callable[[], DeviceId | None],
        perform: Callable[[Effect], None],
        shown: Callable[[tuple[Event, ...]], None],
        lost: Callable[[BaseException], None],
    ) -> None:
        self.state = DeviceSet()
        self._journal = journal
        self._clock = clock
        self._active = active
        self._perform = perform
        self._shown = shown
        self._lost = lost
        self._turn: Turn[Told] = Turn(self._handle, poisoned=lost, turned_away=_refuse)

    async def open(self) -> None:
        """Come back from the log. Raises Fenced, Unavailable."""
        loaded = await self._journal.open()
        if loaded.snapshot is not None:
            self.state = msgspec.msgpack.decode(loaded.snapshot, type=DeviceSet)
        for payload in loaded.payloads:
            for event in msgspec.msgpack.decode(payload, type=Record).events:
                self.state = apply(self.state, event)

    def revive(self) -> None:
        """No connection survived the last owner. Called once the session is open."""
        self.state = revived(self.state, active_device_id=self._active(), now_ms=self._clock.now_ms())

    async def close(self) -> None:
        await self._turn.close()
        await self._journal.put_snapshot(msgspec.msgpack.encode(self.state))

    def abandon(self, why: SegueError) -> None:
        """Stop at once: this memory is not to be trusted any more."""
        self._turn.abandon(why)

    @property
    def idle(self) -> bool:
        return self._turn.idle

    def info(self, device_id: DeviceId | None) -> DeviceInfo | None:
        """How a connected device describes itself; None when it is not connected."""
        known = self.state.devices.get(device_id) if device_id is not None else None
        return known.info if known is not None and known.nonce is not None else None

    def post(
        self,
        said: Input,
        done: Callable[[Decided], None] | None = None,
        refused: Callable[[SegueError], None] | None = None,
    ) -> None:
        """Take a message; it may be done before this returns. Raises Unavailable BUSY."""
        self._turn.post(Told(said, done, refused))

    def _handle(self, told: Told) -> Rest | None:
        try:
            decided = decide(
                self.state, told.said, active_device_id=self._active(), now_ms=self._clock.now_ms()
            )
        except SegueError as error:
            _refuse(told, error)
            return None
        if any(is_durable(event) for event in decided.events):
            return self._commit(told, decided)
        self._apply(told, decided)
        return None

    async def _commit(self, told: Told, decided: Decided) -> None:
        durable = tuple(event for event in decided.events if is_durable(event))
        try:
            await self._journal.append(msgspec.msgpack.encode(Record(events=durable)))
        except SegueError as error:
            _refuse(told, error)
            if isinstance(error, Fenced) or self._journal.in_doubt:
                self._lost(error)
            return
        self._apply(told, decided)
        await self._journal.put_snapshot_if_due(lambda: msgspec.msgpack.encode(self.state))

    def _apply(self, told: Told, decided: Decided) -> None:
        for event in decided.events:
            self.state = apply(self.state, event)
        if told.done is not None:
            told.done(decided)
        shown = tuple(event for event in decided.events if is_shown(event))
        if shown:
            self._shown(shown)
        for effect in decided.effects:
            self._perform(effect)


def _refuse(told: Told, error: SegueError) -> None:
    if told.refused is not None:
        told.refused(error)
