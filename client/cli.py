"""The client's commands of `segue`: device, play, pause, next, transfer, status, login.

`register` adds them to a parser; the caller says where this user's folders are and which ffmpeg there is,
since the environment is read elsewhere.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from getpass import getpass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from client.api import Api, Credentials
from client.device import HeadlessDevice, kept_device_id
from client.output import Output
from client.paced import PacedBytes
from client.remote import Remote
from client.sound_card import SoundCard, find_tool
from client.stream import EdgeSource
from client.timing import SteadyClock
from connect.frames import ServerFrame
from kernel.errors import Code, Rejected, SegueError
from kernel.ids import Uri, parse_uri
from kernel.units import Millis
from sessions.commands import Pause, Play, Resume, SkipNext, Transfer
from sessions.view import PlayerState

DEFAULT_URL = "http://127.0.0.1:8000"
LOGIN_FILE = "login.json"
TRANSFER_WITHIN_S = 15.0
ALBUM_PAGE = 50
ALBUM_PAGES_MAX = 200


class Places(NamedTuple):
    """What the environment says, read by the caller."""

    config_dir: Path
    """Where `login` keeps a token."""
    state_dir: Path
    """Where a device keeps its id."""
    ffmpeg: Callable[[], str] | None = None
    """Path of an ffmpeg; None when there is none, and then nothing is heard."""


class SavedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """What `segue login` keeps."""

    url: str
    access_token: str


class _Asked(NamedTuple):
    """The parsed arguments that all commands share."""

    url: str
    credentials: Credentials


Handler = Callable[[argparse.Namespace, Places], Awaitable[int]]


def register(subparsers: Any, places: Places) -> None:
    """Add the commands. Each parser's `handler` default takes the namespace and returns an exit status."""

    def add(name: str, help_text: str, run: Handler) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(name, help=help_text, description=help_text)
        parser.add_argument(
            "--url", help=f"the server's address (default: the one of `segue login`, or {DEFAULT_URL})"
        )
        parser.add_argument("--user", default="", help="user name")
        parser.add_argument("--password", default="", help="password; asked for when it is missing")
        parser.set_defaults(handler=lambda args, *_: _run(run, args, places))
        return parser

    device = add("device", "play here, as a device of your session", _device)
    device.add_argument("--name", required=True, help="what other devices call it")
    device.add_argument("--volume", type=_percent, default=50, help="volume at the start, 0 to 100")
    device.add_argument("--silent", action="store_true", help="fetch and pace the bytes, play no sound")

    play = add("play", "play an album or a track, or go on", _play)
    play.add_argument("what", nargs="?", help="URI or (part of) the name of an album; nothing: go on")
    play.add_argument("--on", metavar="NAME", help="the device to play on")

    add("pause", "pause", _pause)
    add("next", "skip to the next track", _next)

    transfer = add("transfer", "hand what plays to another device", _transfer)
    transfer.add_argument("name", help="name or id of the device")

    add("status", "say what plays, where, and which devices there are", _status)

    login = add("login", "save a token, so that the other commands need no password", _login)
    login.add_argument("server", nargs="?", help=f"the server's address (default: {DEFAULT_URL})")


def _percent(text: str) -> int:
    if not text.isdigit() or int(text) > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return int(text)


def _run(run: Handler, args: argparse.Namespace, places: Places) -> int:
    try:
        return asyncio.run(_awaited(run(args, places)))
    except SegueError as fault:
        print(f"segue: {fault.message}", file=sys.stderr)
        if fault.code is Code.UNAUTHORIZED:
            print("segue: `segue login URL --user NAME` gets a new token", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _awaited(work: Awaitable[int]) -> int:
    return await work


# --- commands ----------------------------------------------------------------------------------------


async def _device(args: argparse.Namespace, places: Places) -> int:
    asked = _asked(args, places)
    clock = SteadyClock()
    api = Api(asked.url, asked.credentials)
    output = _output(EdgeSource(api.http), clock, places, silent=args.silent)
    device_id = kept_device_id(places.state_dir, args.name, now_ms=Millis(int(clock.now_ms())), rng=Random())
    teller = _Teller(args.name)
    device = HeadlessDevice(
        args.name,
        api,
        output,
        device_id=device_id,
        clock=clock,
        volume_percent=args.volume,
        on_frame=lambda frame: teller.tell(frame, device),
    )
    print(f"{args.name} ({device_id}) on {asked.url}, through {output.name}. Ctrl-C leaves.", flush=True)
    running = asyncio.get_running_loop().create_task(device.run())
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stopping.set)
    stop = loop.create_task(stopping.wait())
    try:
        await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        await device.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.wait({running})
    finally:
        for task in (running, stop):
            task.cancel()
        await asyncio.gather(running, stop, return_exceptions=True)
        await api.close()
    return 0


async def _play(args: argparse.Namespace, places: Places) -> int:
    async with _remote(args, places) as remote:
        device_id = (await remote.wait_for_device(args.on, within_s=5)).device_id if args.on else None
        if args.what is None:
            await remote.command(Resume(device_id=device_id))
        else:
            await remote.command(Play(context_uri=await _album(remote.api, args.what), device_id=device_id))
        player = await remote.wait_for(lambda player: player.is_playing, within_s=10)
        print(await _sentence(remote, player))
    return 0


async def _pause(args: argparse.Namespace, places: Places) -> int:
    async with _remote(args, places) as remote:
        await remote.command(Pause())
        print(await _sentence(remote, remote.player))
    return 0


async def _next(args: argparse.Namespace, places: Places) -> int:
    async with _remote(args, places) as remote:
        before = remote.player.track
        await remote.command(SkipNext(from_uid=before.uid if before else None))
        player = await remote.wait_for(lambda player: player.track != before, within_s=10)
        print(await _sentence(remote, player))
    return 0


async def _transfer(args: argparse.Namespace, places: Places) -> int:
    async with _remote(args, places) as remote:
        target = await remote.wait_for_device(args.name, within_s=5)
        reply = await remote.command(Transfer(device_id=target.device_id), within_s=TRANSFER_WITHIN_S)
        handoff_id = reply.result.get("handoff_id")
        print(f"handed to {target.name}")
        with suppress(SegueError):
            player = await remote.wait_for(lambda player: _measured(player, handoff_id), within_s=8)
            assert player.last_handoff is not None, "just waited for"
            print(f"gap {player.last_handoff.gap_ms:.1f} ms, jump {player.last_handoff.jump_ms or 0:.1f} ms")
    return 0


def _measured(player: PlayerState, handoff_id: object) -> bool:
    last = player.last_handoff
    return last is not None and last.handoff_id == handoff_id and last.gap_ms is not None


async def _status(args: argparse.Namespace, places: Places) -> int:
    async with _remote(args, places) as remote:
        print(await _sentence(remote, remote.player))
        for device in remote.devices:
            if device.device_id == remote.link.device.device_id:
                continue
            mark = "*" if device.is_active else " "
            print(
                f" {mark} {device.name:24} {device.type:10} {device.connection:8} {device.volume_percent:3} %"
            )
    return 0


async def _login(args: argparse.Namespace, places: Places) -> int:
    url = args.server or args.url or DEFAULT_URL
    username = args.user or await asyncio.to_thread(input, "user: ")
    password = args.password or getpass("password: ")
    api = Api(url, Credentials(username=username, password=password))
    try:
        token = await api.login()
    finally:
        await api.close()
    places.config_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = places.config_dir / LOGIN_FILE
    # Made with its mode, not changed to it later: there is no moment in which others can read it.
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"url": url, "access_token": token.access_token}))
    print(f"logged in at {url} as {username}, for {token.expires_in // 60} minutes")
    return 0


# --- pieces ------------------------------------------------------------------------------------------


def _asked(args: argparse.Namespace, places: Places) -> _Asked:
    saved = _saved(places)
    url = args.url or (saved.url if saved else DEFAULT_URL)
    if args.user:
        password = args.password or getpass(f"password of {args.user}: ")
        return _Asked(url, Credentials(username=args.user, password=password))
    # A token is for the server that gave it, and for no other.
    if saved is not None and saved.url == url:
        return _Asked(url, Credentials(access_token=saved.access_token))
    raise Rejected(Code.UNAUTHORIZED, f"no user for {url}: give --user and --password, or log in first")


def _saved(places: Places) -> SavedLogin | None:
    try:
        return msgspec.convert(json.load((places.config_dir / LOGIN_FILE).open()), SavedLogin)
    except (FileNotFoundError, ValueError):
        return None


def _remote(args: argparse.Namespace, places: Places) -> Remote:
    asked = _asked(args, places)
    return Remote(
        asked.url,
        username=asked.credentials.username,
        password=asked.credentials.password,
        access_token=asked.credentials.access_token,
        name="Terminal",
    )


def _output(source: EdgeSource, clock: SteadyClock, places: Places, *, silent: bool) -> Output:
    tool = find_tool()
    if silent or tool is None or places.ffmpeg is None:
        return PacedBytes(source, clock)
    return SoundCard(source, clock, ffmpeg=places.ffmpeg(), tool=tool)


async def _album(api: Api, what: str) -> Uri:
    """A URI as it is; else the album whose name it is, or the only one whose name holds it."""
    if parse_uri(what) is not None:
        return Uri(what)
    wanted, part, after = what.casefold(), [], None
    for _ in range(ALBUM_PAGES_MAX):
        page = await api.get(
            "/v1/browse/albums", {"limit": ALBUM_PAGE, **({"after": after} if after else {})}
        )
        for album in page["items"]:
            name = str(album["name"]).casefold()
            if name == wanted:
                return Uri(album["uri"])
            if wanted in name:
                part.append(album)
        after = (page.get("cursors") or {}).get("after")
        if not after:
            break
    if len(part) == 1:
        return Uri(part[0]["uri"])
    found = ", ".join(str(album["name"]) for album in part[:5]) or "none"
    raise Rejected(Code.NOT_FOUND, f"no single album called {what!r}; with that in their names: {found}")


async def _sentence(remote: Remote, player: PlayerState) -> str:
    """What plays, for a person."""
    if player.track is None:
        return "nothing plays"
    kind_and_id = parse_uri(player.track.uri)
    title = str(player.track.uri)
    if kind_and_id is not None:
        with suppress(SegueError):
            track = await remote.api.get(f"/v1/tracks/{kind_and_id[1]}")
            title = f"{track['name']} – {', '.join(artist['name'] for artist in track['artists'])}"
    where = next(
        (one.name for one in remote.devices if one.device_id == player.active_device_id), "no device"
    )
    state = "playing" if player.is_playing else "paused" if player.is_paused else "stopped"
    return f"{state} on {where}: {title}  {_clock(remote.position_ms)} / {_clock(player.duration)}"


def _clock(ms: int) -> str:
    return f"{ms // 60_000}:{ms // 1000 % 60:02}"


class _Teller:
    """One line on the terminal whenever what this device does changes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = ""

    def tell(self, frame: ServerFrame, device: HeadlessDevice) -> None:
        player = device.mirror.player
        if player is None:
            return
        if not device.player.is_active:
            line = "waiting"
        elif player.track is None:
            line = "active, nothing to play"
        else:
            line = f"{'playing' if player.is_playing else 'paused'} {player.track.uri}"
        if line != self._said:
            self._said = line
            print(f"{self._name}: {line}", flush=True)
