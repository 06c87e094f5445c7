"""One real EntityHost on the embedded stores, without Ray: what the socket figures are measured on.

Everything is as in a running server, with two differences that the figures need: the rate limits are out of
reach, and tickets live for an hour. The loop is uvloop, which is also what a Ray actor runs.
"""

import asyncio
import gc
import sys
from pathlib import Path
from random import SystemRandom
from typing import Any

import uvloop

from actors.assembly import build_host
from actors.clock import SystemClock
from actors.shards import N_SHARDS
from catalog.model import Plan
from connect.frames import Limits
from kernel.ids import HostId, UserId
from kernel.units import Millis
from scripts.bench.answering import answer_until_the_end, say
from scripts.bench.facts import rss_bytes
from scripts.bench.music import ALBUM_URI, put_album
from serve.keys import KeyRing, Purpose
from serve.logs import set_up
from serve.settings import LogLevel, Settings
from serve.sockets import serve_sockets
from serve.tokens import AccessClaims, Tokens
from storage.catalogue import Catalogue
from storage.stores import open_stores

OUT_OF_REACH = 10_000_000
BENCH_LIMITS = Limits(frames_per_s=OUT_OF_REACH, frames_burst=OUT_OF_REACH)


async def serve(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir, log_level=LogLevel.ERROR, ticket_ttl_s=3600)
    set_up(settings)
    clock = SystemClock()
    stores = open_stores(data_dir, clock)
    keys = await KeyRing.open(stores.documents, clock, settings)
    tokens = Tokens(keys, clock, settings)
    await put_album(Catalogue(stores.documents, clock))
    host = build_host(
        HostId("bench"),
        shards=dict.fromkeys(range(N_SHARDS), 1),
        stores=stores,
        clock=clock,
        rng=SystemRandom(),
        lease_secrets=keys.of(Purpose.LEASE),
        verify_ticket=tokens.verify_ticket,
        edge_url=settings.edge_url,
        limits=BENCH_LIMITS,
        put_away_after_s=3600.0,
    )
    host.start()
    sockets = await serve_sockets(host, bind_host="127.0.0.1", port=0, allowed_origins=())
    port = next(iter(sockets.sockets)).getsockname()[1]

    def ticket(user: str) -> str:
        claims = AccessClaims(
            user_id=UserId(user),
            scopes=frozenset({"user-modify-playback-state"}),
            plan=Plan.PREMIUM,
            country="SE",
            token_id="bench",
            issued_at_ms=clock.now_ms(),
            expires_at_ms=Millis(clock.now_ms() + 3_600_000),
        )
        return tokens.issue_ticket(claims)

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        match question["op"]:
            case "tickets":
                return {"tickets": [ticket(user) for user in question["users"]]}
            case "memory":
                gc.collect()
                return {"rss_bytes": rss_bytes(question["pid"]), **host.statistics()}
            case other:
                raise ValueError(f"{other!r} asked; tickets and memory are what there is")

    say(url=f"ws://127.0.0.1:{port}/", album=ALBUM_URI)
    await answer_until_the_end(answer)
    sockets.close(close_connections=False)
    await host.stop()
    sockets.close()
    await sockets.wait_closed()
    await stores.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
