"""`segue up`: the whole server on one machine, from nothing to music, until it is told to stop.

Everything that is started here ends here: Ray is started by this process and goes with it, and nothing of
anybody else's is touched.
"""

import argparse
import asyncio
import fcntl
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from actors.cluster import NAMESPACE, actor_name, spawn
from catalog.model import Plan
from kernel.errors import Code, Rejected, SegueError
from kernel.units import Clock
from media.compose import compose_demo
from serve.accounts import Accounts
from serve.deployments import start_api, stop_api
from serve.edge_process import EdgeProcess
from serve.host_process import HostProcess, host_id
from serve.ingest import ingest
from serve.ingest_view import IngestView
from serve.local_ray import local_ray
from serve.settings import Settings
from serve.supervisor import Supervised
from storage.catalogue import Catalogue
from storage.stores import Stores, open_stores

DEMO_USER = "demo"
DEMO_LOGIN_FILE = "demo-login"
DEMO_FOLDER = "demo"
ADMIN_USER = "admin"
ONE_TIME_BYTES = 12
LOCK_FILE = "in-use"
STOPPED_WITHIN_S = 30.0

console = Console(stderr=True, highlight=False, soft_wrap=True)


def register(subparsers: Any) -> None:
    """Add `up`. (`argparse` has no public name for what `add_subparsers` gives.)"""
    up = subparsers.add_parser("up", help="run the server on this machine")
    up.add_argument("--music", type=Path, metavar="DIR", help="take in this folder of music first")
    up.add_argument(
        "--port",
        dest="http_port",
        metavar="N",
        help="port of the page and REST (default: 8000); the next are used too",
    )
    up.add_argument("--hosts", metavar="N", help="processes that hold sessions (default: one per core)")
    up.set_defaults(handler=run)


def run(args: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    """The exit status: 0 after a clean stop, 1 with one line that says what is wrong."""
    try:
        with _only_one(settings.data_dir):
            _check_ports(settings)
            _check_folder(args.music)
            console.print("segue: starting")
            with local_ray(settings, namespace=NAMESPACE):
                asyncio.run(_serve(settings, args.music, clock))
    except SegueError as error:
        console.print(f"segue: {error.message}", markup=False)
        return 1
    except KeyboardInterrupt:
        # Before the server could take it as its own: nothing had been started that Ray does not end.
        return 130
    return 0


async def _serve(settings: Settings, music: Path | None, clock: Clock) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stores = open_stores(settings.data_dir, clock, settings.store_urls)
    running: list[Supervised] = []
    try:
        await _until(stop, stores.prepare())
        await _until(stop, _take_in(settings, music, stores, clock))
        accounts = Accounts(stores.documents, clock)
        demo_password = await _demo_login(settings.data_dir, accounts)
        running = [
            Supervised(partial(spawn, actor_name(host_id(index)), HostProcess, settings, index))
            for index in range(settings.hosts)
        ]
        running.append(Supervised(partial(spawn, "edge", EdgeProcess, settings)))
        await _until(stop, asyncio.gather(*(process.start() for process in running), start_api(settings)))
        console.print(f"\n[bold green]Segue is ready:[/bold green] {settings.http_url}")
        if demo_password is not None:
            console.print(
                f"  log in as [bold]{DEMO_USER}[/bold] with the password [bold]{demo_password}[/bold]"
            )
        # Last, when it will surely be read: it is shown once.
        if (one_time := await first_admin(accounts)) is not None:
            console.print(
                f"  log in as [bold]{ADMIN_USER}[/bold] with the one-time password [bold]{one_time}[/bold]"
            )
        console.print("  Ctrl-C stops it\n")
        await stop.wait()
    except _Stopped:
        pass
    finally:
        console.print("segue: stopping")
        await _stop(running)
        await stores.close()


async def _stop(running: list[Supervised]) -> None:
    # Whoever is not done by then ends with Ray.
    with suppress(TimeoutError):
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await stop_api()
            await asyncio.gather(*(process.stop() for process in running), return_exceptions=True)


class _Stopped(Exception):
    """Told to stop before everything ran."""


async def _until(stop: asyncio.Event, work: Awaitable[object]) -> None:
    """Wait for `work`, or give it up when a signal comes. Raises what it raised, _Stopped."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        task.result()
        return
    task.cancel()
    await asyncio.wait([task])
    raise _Stopped


# --- before the start -------------------------------------------------------------------------------


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder. Raises Rejected when it cannot be used or another server holds it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock: IO[str] = (data_dir / LOCK_FILE).open("a+")
    except OSError as error:
        raise Rejected(Code.BAD_REQUEST, f"data folder {data_dir} cannot be used: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Rejected(
                Code.BUSY,
                f"data folder {data_dir} is in use by another Segue (process {lock.read().strip()})",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _check_ports(settings: Settings) -> None:
    """Raises Rejected naming the first port that somebody else listens on."""
    ports = [settings.http_port, settings.edge_port, *(settings.host_port(i) for i in range(settings.hosts))]
    for port in ports:
        with socket.socket(socket.AF_INET6 if ":" in settings.bind_host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.bind_host, port))
            except OSError as error:
                raise Rejected(
                    Code.BAD_REQUEST,
                    f"port {port} cannot be used: {error.strerror} (Segue needs {ports[0]} to {ports[-1]};"
                    " --port N moves them)",
                ) from None


def _check_folder(music: Path | None) -> None:
    if music is not None and not music.is_dir():
        raise Rejected(Code.BAD_REQUEST, f"music folder {music} cannot be read: it is not a folder")
    if music is not None and not os.access(music, os.R_OK | os.X_OK):
        raise Rejected(Code.BAD_REQUEST, f"music folder {music} cannot be read: permission denied")


# --- music and a login ------------------------------------------------------------------------------


async def _take_in(settings: Settings, music: Path | None, stores: Stores, clock: Clock) -> None:
    """The folder given; without one, the demo album when there is no music at all."""
    catalogue = Catalogue(stores.documents, clock)
    if music is None:
        if (await catalogue.album_page(limit=1)).items:
            return
        music = settings.data_dir / DEMO_FOLDER
        console.print("segue: no music yet, composing some")
        await asyncio.to_thread(compose_demo, music)
    with IngestView(console) as view:
        report = await ingest(
            music,
            stores,
            catalogue,
            clock=clock,
            work_dir=settings.data_dir / "ingest",
            spare_cores=0,  # nobody is listening yet
            on_progress=view,
        )
    view.show(report, report_file=settings.data_dir / "ingest-problems.tsv")


async def first_admin(accounts: Accounts) -> str | None:
    """Make the admin's account when there is none; gives its one-time password, which is kept nowhere.

    None when there is one. Who loses the password before using it makes another with `segue user passwd`.
    """
    if await accounts.named(ADMIN_USER) is not None:
        return None
    password = secrets.token_urlsafe(ONE_TIME_BYTES)
    await accounts.add(ADMIN_USER, password, admin=True, must_change=True)
    return password


async def _demo_login(data_dir: Path, accounts: Accounts) -> str | None:
    """The demo account's password: made once, by chance, and kept beside the data for its owner alone.

    None when an operator has disabled the account.
    """
    account = await accounts.named(DEMO_USER)
    if account is not None and account.disabled:
        return None
    path = data_dir / DEMO_LOGIN_FILE
    if path.exists():
        return path.read_text().strip()
    password = secrets.token_urlsafe(9)
    if account is None:
        await accounts.add(DEMO_USER, password, plan=Plan.PREMIUM, country="US")
    else:
        await accounts.set_password(DEMO_USER, password)
    path.touch(mode=0o600)
    path.write_text(password + "\n")
    return password
