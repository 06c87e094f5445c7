"""The yardstick of REST: the same application under uvicorn alone, its one host in the same process.

No HAProxy, no Ray Serve, no Ray call between a request and the session; everything else is the server's own.
"""

import asyncio
import sys
from pathlib import Path
from random import SystemRandom
from typing import Any

import uvicorn
import uvloop

from actors.assembly import build_host
from actors.clock import SystemClock
from actors.shards import N_SHARDS
from connect.frames import Limits
from kernel.ids import HostId
from scripts.bench.answering import answer_until_the_end, say
from serve.accounts import Accounts
from serve.api import create_api
from serve.directory import Directory
from serve.keys import KeyRing, Purpose
from serve.logs import set_up
from serve.settings import LogLevel, Settings
from serve.sockets import serve_sockets
from serve.tokens import Tokens
from serve.version import VERSION
from storage.ports import HostRecord, ShardOwner
from storage.stores import open_stores

HOST_ID = HostId("bare")


async def serve(data_dir: Path, http_port: int) -> None:
    """On a data folder that no other server uses."""
    settings = Settings(data_dir=data_dir, http_port=http_port, log_level=LogLevel.ERROR)
    set_up(settings)
    clock = SystemClock()
    stores = open_stores(data_dir, clock)
    keys = await KeyRing.open(stores.documents, clock, settings)
    tokens = Tokens(keys, clock, settings)
    host = build_host(
        HOST_ID,
        shards=dict.fromkeys(range(N_SHARDS), 1),
        stores=stores,
        clock=clock,
        rng=SystemRandom(),
        lease_secrets=keys.of(Purpose.LEASE),
        verify_ticket=tokens.verify_ticket,
        edge_url=settings.edge_url,
        limits=Limits(),
    )
    host.start()
    sockets = await serve_sockets(host, bind_host="127.0.0.1", port=0, allowed_origins=())
    address = f"ws://127.0.0.1:{next(iter(sockets.sockets)).getsockname()[1]}/"
    await stores.ownership.put_host(
        HostRecord(host_id=HOST_ID, incarnation=1, heartbeat=1, address=address, version=VERSION)
    )
    await stores.ownership.claim(
        [
            ShardOwner(shard=shard, owner_epoch=1, host_id=HOST_ID, incarnation=1, why="join")
            for shard in range(N_SHARDS)
        ]
    )
    api = create_api(
        settings,
        documents=stores.documents,
        tokens=tokens,
        accounts=Accounts(stores.documents, clock),
        directory=Directory(stores.ownership, lambda _: host, clock),
        clock=clock,
    )
    config = uvicorn.Config(api, host="127.0.0.1", port=http_port, log_level="error", access_log=False)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    serving = asyncio.create_task(server.main_loop())
    say(ready=True)

    async def nothing(question: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(f"{question['op']!r} asked; it only serves")

    await answer_until_the_end(nothing)
    server.should_exit = True
    await serving
    await server.shutdown()
    sockets.close(close_connections=False)
    await host.stop()
    sockets.close()
    await sockets.wait_closed()
    await stores.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
