"""The whole of REST in this process: memory stores, a real host behind it, no socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from starlette.applications import Starlette

from actors.clock import SystemClock
from actors.host import EntityHost
from actors.references import HostRef
from actors.shards import N_SHARDS
from catalog.model import Plan
from kernel.ids import HostId, UserId
from kernel.units import Clock, Millis
from serve.accounts import Account, Accounts
from serve.api import create_api
from serve.directory import Directory
from serve.identity.withdrawals import Withdrawals
from serve.keys import KeyRing
from serve.settings import Settings
from serve.tokens import SCOPES, Tokens
from storage.catalogue import Catalogue
from storage.ports import HostRecord, ShardOwner
from storage.stores import Stores, memory_stores
from tests.support.hosting import a_host, fill_catalogue

HOST = HostRecord(
    host_id=HostId("host-0"), incarnation=1, heartbeat=1, address="ws://127.0.0.1:8002/", version="1"
)
ADA = Account(
    user_id=UserId("user-ada"), username="ada", plan=Plan.PREMIUM, country="NL", created_at_ms=Millis(0)
)
"""Known by her token alone, as everybody is between two logins."""


class Rest:
    """An api, what is behind it, and a client that asks as Ada."""

    def __init__(
        self,
        api: Starlette,
        stores: Stores,
        host: EntityHost,
        tokens: Tokens,
        accounts: Accounts,
        clock: Clock,
    ) -> None:
        self.api = api
        self.stores = stores
        self.host = host
        self.tokens = tokens
        self.accounts = accounts
        self.clock = clock
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(api, raise_app_exceptions=False), base_url="http://127.0.0.1:8000"
        )

    def bearer(self, account: Account = ADA, scopes: tuple[str, ...] = SCOPES) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens.issue_access(account, scopes)}"}

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """With Ada's token, unless `headers` bring another."""
        more["headers"] = {**self.bearer(), **more.get("headers", {})}
        return await self.client.request(method, path, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.ask("GET", path, **more)


async def own_every_shard(stores: Stores, host: HostRecord = HOST, *, owner_epoch: int = 1) -> None:
    await stores.ownership.put_host(host)
    await stores.ownership.claim(
        [
            ShardOwner(
                shard=shard,
                owner_epoch=owner_epoch,
                host_id=host.host_id,
                incarnation=host.incarnation,
                why="join",
            )
            for shard in range(N_SHARDS)
        ]
    )


@asynccontextmanager
async def running_rest(
    *,
    clock: Clock | None = None,
    owned: bool = True,
    page_folder: Path | None = None,
    reach: HostRef | None = None,
    behind_proxy: bool = False,
    **settings: object,
) -> AsyncIterator[Rest]:
    clock = clock or SystemClock()  # as the host's
    stores = memory_stores(clock)
    await fill_catalogue(Catalogue(stores.documents, clock))
    if owned:
        await own_every_shard(stores)
    host = await a_host(stores)
    read = Settings.read({}, **settings)
    ring = await KeyRing.open(stores.documents, clock, read)
    tokens = Tokens(ring, clock, read, await Withdrawals.open(stores.documents, clock, read))
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(stores.documents, clock, hasher=cheap, volatile=stores.volatile)
    api = create_api(
        read,
        documents=stores.documents,
        tokens=tokens,
        accounts=accounts,
        directory=Directory(stores.ownership, lambda _: reach or host, clock),
        clock=clock,
        page_folder=page_folder,
        behind_proxy=behind_proxy,
    )
    rest = Rest(api, stores, host, tokens, accounts, clock)
    try:
        yield rest
    finally:
        await rest.client.aclose()
        await host.stop()
