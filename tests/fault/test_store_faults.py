"""A host whose store fails by the throw of a die, and is killed now and then.

Every run is named by its seed, so a failure can be had again: `pytest -k "seed-17"`.
"""

from dataclasses import replace
from random import Random

import pytest
from msgspec import structs

from actors.host import EntityHost
from connect.frames import Limits, Reply
from kernel.errors import TABLE
from kernel.ids import UserId
from kernel.units import Millis
from sessions.commands import (
    AddToQueue,
    Command,
    Pause,
    Play,
    Repeat,
    SeekTo,
    SetRepeat,
    SetShuffle,
    SkipNext,
    SkipPrev,
    Undo,
)
from sessions.commands import Resume as Go
from sessions.playhead import Status
from sessions.state import Session
from storage.stores import Stores
from tests.support.faulty_log import FaultyLog
from tests.support.hosting import ALBUM_URI, TestDevice, a_host, filled_stores, track_uri
from tests.support.waiting import until

ADA = UserId("user-ada")
NO_LIMITS = Limits(frames_per_s=100_000, frames_burst=100_000)
TRIES_MAX = 50
SEEDS = [pytest.param(seed, id=f"seed-{seed}") for seed in range(12)]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes back in a moment comes back at once."""
    monkeypatch.setattr("actors.journal.TRY_AGAIN_S", 0)


class Home:
    """One user with two devices, on hosts that come and go over the same stores."""

    def __init__(self, stores: Stores, seed: int) -> None:
        self.rng = Random(seed)
        self.faulty = True
        self.thrown = 0
        self.stores = stores
        self.log = FaultyLog(stores.log)
        self.host: EntityHost
        self.epoch = 0
        self.devices: list[TestDevice] = []

    async def kill(self) -> None:
        """As kill -9: nothing is folded, nobody is told. The next owner has the next epoch."""
        self.log.down = True
        self.thrown += self.log.thrown
        self.log = FaultyLog(self.stores.log, self.rng if self.faulty else None)
        self.epoch += 1
        self.host = await a_host(replace(self.stores, log=self.log), owner_epoch=self.epoch, limits=NO_LIMITS)
        for device in self.devices:
            device.host = self.host
            device.wire.closed = (1006, "")

    def faults(self, on: bool) -> None:
        self.faulty = on
        self.log.rng = self.rng if on else None

    async def online(self, device: TestDevice) -> None:
        """Connect as often as it takes."""
        for _ in range(TRIES_MAX):
            if hasattr(device, "peer") and device.wire.closed is None:
                return
            try:
                await device.connect()
            except ConnectionError:
                code, _ = await device.wait_closed()
                assert 4000 <= code < 4500, f"sent away for good: {device.wire.closed}"
                device.drop()
        raise AssertionError("no way in")

    async def do(self, command: Command, command_id: str) -> Reply:
        """The same command until the host says yes or no; what it asks for may be repeated, so it is."""
        for _ in range(TRIES_MAX):
            device = self.rng.choice(self.devices)
            await self.online(device)
            if self.rng.random() < 0.05:
                await self.kill()
                continue
            device.forget()
            try:
                reply = await device.command(command, command_id=command_id)
            except ConnectionError:
                continue
            if reply.ok or not TABLE[reply.error.code].retry:  # type: ignore[union-attr]
                return reply
        raise AssertionError(f"{command_id} never got an answer")

    async def session(self) -> Session:
        """Once nothing is under way: a record that is written and not yet shown may come back or not."""
        await self.online(self.devices[0])
        listener = await self.host.listener(ADA)
        await until(lambda: listener.idle)
        return listener.session.session


async def a_home(seed: int) -> Home:
    home = Home(await filled_stores(), seed)
    await home.kill()
    home.devices = [TestDevice(home.host, "phone-001"), TestDevice(home.host, "laptop-001")]
    return home


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_acknowledged_edit_is_there_once_and_in_order(seed: int) -> None:
    home = await a_home(seed)
    assert (await home.do(Play(context_uri=ALBUM_URI), "command-play")).ok
    added = []
    for number in range(40):
        track = track_uri(home.rng.randrange(6))
        reply = await home.do(AddToQueue(uris=(track,)), f"command-{number:04}")
        assert reply.ok, reply.error
        added.append(track)
    home.faults(on=False)
    await home.kill()
    session = await home.session()
    assert [item.uri for item in session.queue] == added
    assert home.thrown > 5, "the dice threw too few faults for this to mean anything"
    # A repeat from long ago is known, too: its reply was kept with what it did.
    again = await home.do(AddToQueue(uris=(added[-1],)), "command-0039")
    assert again.ok
    assert len((await home.session()).queue) == len(added)
    await home.host.stop()


def any_command(rng: Random) -> Command:
    commands: list[Command] = [
        Play(context_uri=ALBUM_URI),
        Play(uris=(track_uri(3), track_uri(1))),
        AddToQueue(uris=(track_uri(rng.randrange(6)),)),
        SkipNext(),
        SkipNext(),
        SkipPrev(),
        Pause(),
        Go(),
        SeekTo(position_ms=Millis(rng.randrange(20_000))),
        SeekTo(position_ms=Millis(rng.randrange(20_000))),
        SetShuffle(shuffle=bool(rng.randrange(2))),
        SetRepeat(repeat=rng.choice(list(Repeat))),
        Undo(),
    ]
    return rng.choice(commands)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_session_that_comes_back_is_the_one_that_was_shown(seed: int) -> None:
    home = await a_home(seed)
    await home.do(Play(context_uri=ALBUM_URI), "command-play")
    for number in range(80):
        await home.do(any_command(home.rng), f"command-{number:04}")
        if home.rng.random() < 0.2:
            home.faults(on=False)
            await home.session()
            if written := home.rng.random() < 0.5:
                await home.host.sweep()
            before = structs.asdict(await home.session())
            await home.kill()
            after = structs.asdict(await home.session())
            if not written:
                # Position and pause may be lost with the process; nothing else.
                del before["playhead"], after["playhead"]
            assert after == before
            home.faults(on=True)
    home.faults(on=False)
    await home.host.stop()


async def test_a_playhead_written_behind_survives_two_deaths_and_joins_the_log() -> None:
    home = await a_home(1)
    home.faults(on=False)
    await home.do(Play(context_uri=ALBUM_URI), "command-play")
    await home.do(SeekTo(position_ms=Millis(7_000)), "command-seek")
    await home.do(Pause(), "command-pause")
    await home.host.sweep()
    shown = (await home.session()).playhead
    assert shown.status is Status.PAUSED
    for _ in range(2):
        await home.kill()
        assert (await home.session()).playhead == shown
    # The next durable change takes it into the log: it no longer matters what was written behind.
    await home.do(AddToQueue(uris=(track_uri(1),)), "command-add")
    home.stores = replace(home.stores, volatile=(await filled_stores()).volatile)
    await home.kill()
    assert (await home.session()).playhead == shown
    await home.host.stop()


async def test_a_playhead_of_before_the_last_record_is_worth_nothing() -> None:
    home = await a_home(1)
    home.faults(on=False)
    await home.do(Play(context_uri=ALBUM_URI), "command-play")
    await home.do(SeekTo(position_ms=Millis(7_000)), "command-seek")
    await home.host.sweep()
    await home.do(SkipNext(), "command-next")
    shown = (await home.session()).playhead
    await home.kill()
    assert (await home.session()).playhead == shown
    await home.host.stop()
