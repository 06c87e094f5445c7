"""`python -m scripts.chaos [--rounds N] [--listeners N] [--freeze]`: hosts of a running server are killed.

Starts a server of its own with two hosts on loopback, and listeners that edit their queues all the time
through the ordinary client: `/v1/connect`, socket, retries. Each round kills one host with -9 (or, with
--freeze, stops it for longer than its lease and lets it go on). Said at the end: how long listeners of that
host waited for their next acknowledged command, and whether every acknowledged edit is there, once and in
order.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from actors.clock import SystemClock
from actors.shards import N_SHARDS, ShardMap, read_map, shard_of
from client.remote import Remote
from kernel.errors import SegueError
from kernel.ids import HostId, Uri, UserId, catalogue_id, uri
from kernel.units import Millis
from scripts.bench.facts import facts
from scripts.bench.figures import percentile
from scripts.bench.running import Server, folder, running
from scripts.chaos.processes import listener_pid
from serve.accounts import Account
from serve.host_process import host_id
from serve.identity.withdrawals import Withdrawals
from serve.keys import KeyRing
from serve.settings import Settings
from serve.tokens import Tokens
from sessions.commands import AddToQueue
from storage.catalogue import Catalogue
from storage.stores import Stores, open_stores

HOSTS = 2
EDITS_MAX = 75
"""Of one listener: the window that everybody sees of a queue has 80 places."""
EDIT_EVERY_S = 0.2
BEFORE_S = 2.0
"""From the first edits to the blow."""
FREEZE_S = 8.0
BACK_WITHIN_S = 30.0
SETTLED_WITHIN_S = 60.0


class Editor:
    """A listener who edits without end, and remembers what was acknowledged."""

    def __init__(self, remote: Remote, user_id: UserId, tracks: list[Uri]) -> None:
        self.remote = remote
        self.user_id = user_id
        self.acknowledged: list[Uri] = []
        self.acknowledged_s: list[float] = []
        """When each was, by the monotonic clock."""
        self.enough = asyncio.Event()
        self._tracks = tracks

    async def edit(self) -> None:
        while not self.enough.is_set() and len(self.acknowledged) < EDITS_MAX:
            track = self._tracks[len(self.acknowledged) % len(self._tracks)]
            await self.remote.link.command(AddToQueue(uris=(track,)), within_s=BACK_WITHIN_S)
            self.acknowledged.append(track)
            self.acknowledged_s.append(time.monotonic())
            await asyncio.sleep(EDIT_EVERY_S)

    def waited_s(self, since_s: float) -> float | None:
        """From `since_s` to the next acknowledgement; None when there has been none yet."""
        return next((at - since_s for at in self.acknowledged_s if at > since_s), None)

    async def verdict(self) -> str:
        """Empty when the queue is what was acknowledged, once and in order."""
        snapshot = await self.remote.api.get("/v1/me/player/queue")
        queued = [item["uri"] for item in snapshot["queue"]][: len(self.acknowledged) + 1]
        if queued == self.acknowledged:
            return ""
        return f"{self.user_id}: {len(self.acknowledged)} acknowledged, {len(queued)} there"


class Chaos:
    """A running server and the means to hurt it."""

    def __init__(self, server: Server, stores: Stores, settings: Settings, tokens: Tokens) -> None:
        self._server = server
        self._stores = stores
        self._settings = settings
        self._tokens = tokens
        self.waited_s: list[float] = []
        self.acknowledged = 0
        self.wrong: list[str] = []

    async def round(self, turn: int, victim: int, *, listeners: int, freeze: bool) -> None:
        """Listeners who are new: what the last blow taught a client about waiting is none of this one's."""
        album = (await Catalogue(self._stores.documents, SystemClock()).album_page(limit=1)).items[0]
        tracks = [uri("track", track_id) for track_id in album.track_ids]
        await self._settle()
        async with AsyncExitStack() as stack:
            editors = []
            for number in range(listeners):
                # Nobody has to be in the books to hold a token that the server's own key signed.
                user_id = UserId(catalogue_id("user", "chaos", turn, number))
                account = Account(user_id=user_id, username=user_id, country="US", created_at_ms=Millis(0))
                remote = Remote(
                    self._server.url,
                    access_token=self._tokens.issue_access(account),
                    device_id=f"chaos-{number:06}",
                )
                editors.append(Editor(await stack.enter_async_context(remote), user_id, tracks))
            edits = [asyncio.create_task(editor.edit()) for editor in editors]
            await asyncio.sleep(BEFORE_S)
            shards = await read_map(self._stores.ownership)
            hit = [editor for editor in editors if _owner(shards, editor.user_id) == host_id(victim)]
            struck_s = await self._strike(victim, freeze=freeze)
            async with asyncio.timeout(BACK_WITHIN_S):
                while None in [editor.waited_s(struck_s) for editor in editors]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            for editor in editors:
                editor.enough.set()
            await asyncio.gather(*edits)
            these_s = [waited for editor in hit if (waited := editor.waited_s(struck_s)) is not None]
            self.waited_s += these_s
            self.acknowledged += sum(len(editor.acknowledged) for editor in editors)
            self.wrong += [verdict for editor in editors if (verdict := await editor.verdict())]
        print(
            f"round {turn + 1}: {host_id(victim)} {'frozen' if freeze else 'killed'}, {len(hit)} of"
            f" {listeners} listeners were there, the last back after {max(these_s, default=0.0):.2f} s",
            flush=True,
        )

    async def _strike(self, victim: int, *, freeze: bool) -> float:
        """When it was struck, by the monotonic clock."""
        pid = listener_pid(self._settings.host_port(victim))
        struck_s = time.monotonic()
        if not freeze:
            os.kill(pid, signal.SIGKILL)
            return struck_s
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(FREEZE_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        return struck_s

    async def _settle(self) -> None:
        """Until every host lives and has its share again."""
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while True:
                shards = await read_map(self._stores.ownership)
                owners = {found[1].host_id for shard in range(N_SHARDS) if (found := shards.owner(shard))}
                if len(owners) == HOSTS:
                    return
                await asyncio.sleep(0.2)


async def chaos(
    server: Server, data_dir: Path, *, rounds: int, listeners: int, freeze: bool, seed: int
) -> int:
    """The exit status."""
    rng = Random(seed)
    clock = SystemClock()
    stores = open_stores(data_dir, clock)
    try:
        settings = Settings(data_dir=data_dir, http_port=int(server.url.rpartition(":")[2]), hosts=HOSTS)
        keys = await KeyRing.open(stores.documents, clock, settings)
        withdrawals = await Withdrawals.open(stores.documents, clock, settings)
        run = Chaos(server, stores, settings, Tokens(keys, clock, settings, withdrawals))
        for turn in range(rounds):
            await run.round(turn, rng.randrange(HOSTS), listeners=listeners, freeze=freeze)
    finally:
        await stores.close()
    print("; ".join(f"{name} {value}" for name, value in facts()))
    print(f"{len(run.waited_s)} listeners lost their host; {run.acknowledged} edits acknowledged in all")
    if run.waited_s:
        print(
            f"back after: p50 {percentile(run.waited_s, 50):.2f} s, p99 {percentile(run.waited_s, 99):.2f} s,"
            f" longest {max(run.waited_s):.2f} s"
        )
    print("\n".join(run.wrong) or "nothing acknowledged is missing, nothing is there twice")
    return 1 if run.wrong else 0


def _owner(shards: ShardMap, user_id: UserId) -> HostId | None:
    found = shards.owner(shard_of(user_id))
    return found[1].host_id if found else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--listeners", type=int, default=40, metavar="N")
    parser.add_argument(
        "--freeze", action="store_true", help="stop and continue a host instead of killing it"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    args = parser.parse_args()
    with folder() as path, running(path / "data", "--hosts", str(HOSTS)) as server:
        try:
            return asyncio.run(
                chaos(
                    server,
                    path / "data",
                    rounds=args.rounds,
                    listeners=args.listeners,
                    freeze=args.freeze,
                    seed=args.seed,
                )
            )
        except SegueError as error:
            print(f"chaos ended: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
