"""REST as a Ray Serve application behind HAProxy: what runs in a replica, its start and its end.

Found out with Ray 2.60 on two cores. `start_api` takes 6 to 10 s, nearly all of it four processes that import
Ray: controller, HAProxy's manager, the fallback proxy, the replica. HAProxy hands on what a replica answers
as it is, 5xx included; its own, a plain-text 500, comes only when no replica took the request. All of it is
a child of the raylet, and that of the driver: when the driver ends, by Ctrl-C or `kill -9`, the port is free
within two seconds.

`ray.serve` is imported inside the functions, because it reads its environment at import (`serve/ingress.py`).
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

from starlette.applications import Starlette

from actors.clock import SystemClock
from actors.cluster import find_host
from actors.references import HostRef
from kernel.errors import Code, Unavailable
from serve import logs
from serve.accounts import Accounts
from serve.api import create_api
from serve.directory import Directory
from serve.identity.withdrawals import Withdrawals
from serve.ingress import LOOPBACK
from serve.keys import KeyRing
from serve.settings import Settings
from serve.tokens import Tokens
from storage.ports import HostRecord
from storage.stores import Stores, open_stores

APPLICATION = "segue"
REPLICAS = 1
"""On a laptop. Each is one more process with a core's worth of requests."""
ONGOING_MAX = 100
"""Requests at one time in a replica; nearly all of them wait for a host or the store."""
STARTED_WITHIN_S = 60.0
STOPPED_WITHIN_S = 15.0
_QUIET = {"log_level": "ERROR", "enable_access_log": False}
"""Our own line per request says more than Serve's."""


class Api:
    """One replica. A plain class that `start_api` wraps, so that the worker imports it and copies nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._stores: Stores
        self._keys: KeyRing
        self._withdrawals: Withdrawals

    async def open(self) -> None:
        """Open what a request needs. Raises Unavailable."""
        logs.set_up(self._settings)
        self._stores = open_stores(self._settings.data_dir, self._clock, self._settings.store_urls)
        await self._stores.prepare()
        self._keys = await KeyRing.open(self._stores.documents, self._clock, self._settings)
        self._withdrawals = await Withdrawals.open(self._stores.documents, self._clock, self._settings)

    async def close(self) -> None:
        await self._stores.close()

    def application(self) -> Starlette:
        documents = self._stores.documents
        return create_api(
            self._settings,
            documents=documents,
            tokens=Tokens(self._keys, self._clock, self._settings, self._withdrawals),
            accounts=Accounts(documents, self._clock, volatile=self._stores.volatile),
            directory=Directory(self._stores.ownership, _reach, self._clock),
            clock=self._clock,
            behind_proxy=True,
            close=self.close,
        )


class Replica(Api):
    """The same, in the words that `ray.serve.ingress` asks for."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        Api.__init__(self, settings)
        _keep_calls_on_loopback()
        await self.open()

    def __serve_build_asgi_app__(self) -> Starlette:
        return self.application()


def _keep_calls_on_loopback() -> None:
    """Of the port on which a replica takes calls of other deployments: pickles, from whoever reaches it.

    Ray 2.60 opens it on every interface, whatever it was told, once the replica's own start is done; so that
    start is the place to see to it.
    """
    from ray.serve._private import replica as its_module

    replica: Any = its_module  # a name that it imported is not its own, and has no types
    listen = replica.add_port_to_grpc_server

    def listen_on_loopback(server: object, address: str) -> int:
        port: int = listen(server, address.replace("[::]", LOOPBACK))
        return port

    replica.add_port_to_grpc_server = listen_on_loopback


def _reach(host: HostRecord) -> HostRef:
    return find_host(host.host_id)


async def start_api(settings: Settings, *, replicas: int = REPLICAS) -> None:
    """Serve REST and the page on `settings.http_port`; Ray runs, started by `serve.local_ray`.

    Returns when HAProxy has a replica that is ready. Raises Unavailable when that takes too long or Serve
    gives up.
    """
    try:
        async with asyncio.timeout(STARTED_WITHIN_S):
            await _aside(lambda: _start(settings, replicas))
    except TimeoutError:
        raise Unavailable(
            Code.TIMEOUT, f"REST on port {settings.http_port}: not ready within {STARTED_WITHIN_S:.0f} s"
        ) from None


def _start(settings: Settings, replicas: int) -> None:
    from ray import serve as ray_serve
    from ray.serve.config import HTTPOptions

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # this process's; the others have theirs below
    ray_serve.start(
        # Of the replicas, too; what HAProxy listens on is settled in serve/ingress.py.
        http_options=HTTPOptions(host=LOOPBACK, port=settings.http_port),
        logging_config=_QUIET,
    )
    deployment: Any = ray_serve.deployment(
        ray_serve.ingress()(Replica),
        name="Api",
        num_replicas=replicas,
        max_ongoing_requests=ONGOING_MAX,
        ray_actor_options={"num_cpus": 0},
        logging_config=_QUIET,
    )
    try:
        ray_serve.run(deployment.bind(settings), name=APPLICATION, route_prefix="/", logging_config=_QUIET)
    except RuntimeError as fault:
        raise Unavailable(Code.INTERNAL, f"REST on port {settings.http_port}: {fault}") from fault


async def stop_api() -> None:
    """Take the application down; HAProxy and the rest of Serve end with Ray. Does nothing when none runs."""
    try:
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await _aside(_stop)
    except TimeoutError:
        # The raylet ends it; nothing in a replica is worth waiting for.
        return


def _stop() -> None:
    from ray import serve as ray_serve
    from ray.serve.exceptions import RayServeException

    # None was started, or it is gone already.
    with suppress(RayServeException):
        ray_serve.delete(APPLICATION)


async def _aside(work: Callable[[], None]) -> None:
    """Run what blocks in a thread that nobody waits for at the end: Serve's own waiting cannot be broken off,
    and a start that is given up by Ctrl-C must not hold up the exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(fault: BaseException | None) -> None:
        if done.done():
            return
        if fault is None:
            done.set_result(None)
        else:
            done.set_exception(fault)

    def run() -> None:
        fault = None
        try:
            work()
        except BaseException as raised:
            fault = raised
        with suppress(RuntimeError):  # the loop is gone, and so is whoever asked
            loop.call_soon_threadsafe(settle, fault)

    Thread(target=run, name="serve", daemon=True).start()
    await done
