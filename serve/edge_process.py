"""The edge as a process of its own: uvicorn around `serve.edge`. Composition only."""

import asyncio

import uvicorn

from actors.clock import SystemClock
from serve.edge import create_edge_app
from serve.edge_status import EdgeStatus
from serve.keys import KeyRing
from serve.logs import set_up
from serve.settings import Settings
from storage.stores import Stores, open_stores

STARTED_WITHIN_S = 20.0
BACKLOG = 512


class EdgeProcess:
    """A plain class: Ray wraps it in `actors/cluster.py`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stores: Stores
        self._keys: KeyRing
        self._server: uvicorn.Server
        self._serving: asyncio.Task[None]

    async def start(self) -> None:
        """Listen on the edge's port. Raises OSError when it is taken, Unavailable."""
        settings = self._settings
        set_up(settings)
        clock = SystemClock()
        self._stores = open_stores(settings.data_dir, clock, settings.store_urls)
        await self._stores.prepare()
        self._keys = await KeyRing.open(self._stores.documents, clock, settings)
        self._keys.start()
        app = EdgeStatus(create_edge_app(self._stores, self._keys, clock, lease_s=settings.lease_s))
        config = uvicorn.Config(
            app,
            host=settings.bind_host,
            port=settings.edge_port,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=2,
            ws="none",
        )
        self._server = _QuietServer(config)
        self._serving = asyncio.get_running_loop().create_task(self._server.serve())
        async with asyncio.timeout(STARTED_WITHIN_S):
            while not self._server.started:
                if self._serving.done():
                    raise OSError(f"the edge could not listen on port {settings.edge_port}")
                await asyncio.sleep(0.02)

    async def lasts(self, _: int) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self._server.should_exit = True
        await asyncio.wait([self._serving])
        await self._keys.stop()
        await self._stores.close()


class _QuietServer(uvicorn.Server):
    """Signals are the driver's business, and a port that is taken is an error to raise, not an exit."""

    def install_signal_handlers(self) -> None:
        return
