"""`segue hosts|shards|drain|undrain|roll` beside hosts that run: two keepers over the same folder."""

import argparse
import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from msgspec.structs import replace

from actors.clock import SystemClock
from actors.keeper import Keeper
from actors.orders import read_orders
from actors.peer import Peer
from actors.shards import N_SHARDS, shard_of
from kernel.ids import HostId, UserId
from serve import hosts_cli
from serve.settings import Settings
from storage.ports import HostRecord
from storage.stores import Stores, open_stores

Run = Callable[..., int]


class Held:
    """A host with nobody in it."""

    def __init__(self) -> None:
        self.shards: dict[int, int] = {}

    def gain(self, shards: Mapping[int, int]) -> None:
        self.shards |= shards

    def lose(self, shards: Collection[int]) -> None:
        for shard in shards:
            self.shards.pop(shard, None)

    async def release(self, shards: Collection[int]) -> list[Peer]:
        self.lose(list(shards))
        return []

    def send_on(self, peers: Collection[Peer]) -> None:
        assert not peers

    def busy_shards(self) -> set[int]:
        return set()


async def live(stores: Stores, name: str, stop: Event) -> None:
    """Beat and look until told to stop; come back as the next life when told to restart."""
    incarnation = 0
    clock = SystemClock()
    while not stop.is_set():
        incarnation += 1
        retired = Event()
        record = HostRecord(
            host_id=HostId(name),
            incarnation=incarnation,
            heartbeat=0,
            address="ws://127.0.0.1:9",
            version="1",
        )
        keeper = Keeper(
            record,
            Held(),
            ownership=stores.ownership,
            orders=lambda: read_orders(stores.documents),
            clock=clock,
            may_act=lambda: True,
            is_lost=lambda: False,
            tell_opened=lambda *_: asyncio.sleep(0),
            retire=retired.set,
            expected=[HostId("host-0"), HostId("host-1")],
        )
        while not (stop.is_set() or retired.is_set()):
            record = replace(record, heartbeat=record.heartbeat + 1)
            await stores.ownership.put_host(record)
            await keeper.look()
            await asyncio.sleep(0.01)


@contextmanager
def hosts(data_dir: Path, *names: str) -> Iterator[None]:
    stop = Event()

    async def all_of_them() -> None:
        stores = open_stores(data_dir, SystemClock())
        try:
            await asyncio.gather(*(live(stores, name, stop) for name in names))
        finally:
            await stores.close()

    thread = Thread(target=lambda: asyncio.run(all_of_them()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(hosts_cli, "LOOK_AGAIN_S", 0.3)
    monkeypatch.setattr(hosts_cli, "STEP_WITHIN_S", 20.0)

    def run(*words: str) -> int:
        parser = argparse.ArgumentParser()
        hosts_cli.register(parser.add_subparsers(required=True))
        args = parser.parse_args(words)
        code: int = args.handler(args, Settings(data_dir=tmp_path), SystemClock())
        return code

    return run


def test_hosts_are_listed_explained_drained_and_rolled(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = shard_of(UserId("ada"))
    with hosts(tmp_path, "host-0", "host-1"):
        # Whoever asks before they have shared everything is told so.
        while run("hosts") == 0 and "no owner that lives" in capsys.readouterr().out:
            pass
        assert run("drain", "host-1") == 0
        assert "host-1 is empty" in capsys.readouterr().out
        assert run("hosts") == 0
        listed = capsys.readouterr().out
        rows = [
            [cell.strip() for cell in line.split("│")[1:4]] for line in listed.splitlines() if "ws:" in line
        ]
        assert rows == [["host-0", "up", str(N_SHARDS)], ["host-1", "draining", "0"]]
        assert run("roll") == 1
        assert "host-1 is drained" in capsys.readouterr().err
        assert run("drain", "host-0") == 1
        assert "no other host" in capsys.readouterr().err
        assert run("undrain", "host-1") == 0
        assert run("shards", "pin", "ada", "host-1") == 0
        assert run("shards", "explain", "ada") == 0
        explained = capsys.readouterr().out
        assert f"ada is in shard {shard}" in explained
        assert "should be: host-1 (pinned)" in explained
        assert run("shards", "unpin", "ada") == 0
        assert run("roll") == 0
        said = capsys.readouterr().out
        assert "host-0 is new" in said
        assert "host-1 is new" in said
        assert run("shards", "explain", str(shard)) == 0
        assert "life 2 (up)" in capsys.readouterr().out
    assert run("hosts") == 0
    assert "silent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("drain", "host-7"), "there is no such host; there are none"),
        (("shards", "explain", "4096"), "there are 0 to 4095"),
    ],
)
def test_what_there_is_not_is_named(
    run: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(*words) == 1
    assert said in capsys.readouterr().err
