"""An output through the sound card: ffmpeg decodes, one of the system's own players sounds.

Bytes go from the source into ffmpeg, samples come out of it into memory, and one pump writes them to the
player's standard input. The pump goes from the last sample of one play to the first of the next, which is
what makes it gapless. The card's buffer is what a position must be corrected by: `start_delay_ms`.
"""

import asyncio
import shutil
import socket
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from catalog.model import Codec
from client.output import (
    AHEAD_MS,
    READY_MS,
    BecameReady,
    Ended,
    Failed,
    Listener,
    OutputEvent,
    RanDry,
    Sounded,
    WentOn,
)
from client.stream import (
    ATTEMPTS_MAX,
    CHUNK_BYTES,
    FILE_BYTES_MAX,
    ManifestRendition,
    Source,
    Throughput,
    is_transient,
)
from client.timing import DeviceClock
from connect.frames import Lease
from kernel.errors import Code, SegueError
from kernel.ids import PlayId

RATE_HZ = 48_000
FRAME_BYTES = 4
"""16 bit, two channels."""
BYTES_PER_MS = RATE_HZ * FRAME_BYTES // 1000
PUMP_MS = 20
"""How much is written at a time."""
CARD_MS = 120
"""How much the card is asked to hold: enough for a busy machine, little enough to stop at once."""
DRAIN_WITHIN_S = 2.0
"""How long a player may take to sound what it holds, once its input is closed."""
RETRY_S = 0.5


class Tool(NamedTuple):
    """A program that plays raw samples from its standard input."""

    name: str
    command: tuple[str, ...]


def find_tool(which: Callable[[str], str | None] = shutil.which) -> Tool | None:
    """The first of the system's players that is there; None on a machine without one."""
    rate = str(RATE_HZ)
    tools = {
        "pw-cat": ("--playback", "--raw", "--format=s16", f"--rate={rate}", "--channels=2", "-"),
        "paplay": ("--raw", "--format=s16le", f"--rate={rate}", "--channels=2", f"--latency-msec={CARD_MS}"),
        "aplay": ("-q", "-t", "raw", "-f", "S16_LE", "-r", rate, "-c", "2", f"--buffer-time={CARD_MS}000"),
        "ffplay": (
            "-nodisp",
            "-loglevel",
            "error",
            "-f",
            "s16le",
            "-ar",
            rate,
            "-ch_layout",
            "stereo",
            "-i",
            "-",
        ),
    }
    for name, arguments in tools.items():
        if path := which(name):
            return Tool(name, (path, *arguments))
    return None


class _Loaded(msgspec.Struct, kw_only=True, eq=False):
    """One play in hand, as samples."""

    lease: Lease
    from_ms: float
    """Position of the first sample ever decoded."""
    taken: int = 0
    """Bytes of samples that were written out."""
    samples: bytearray
    """Those that were not, oldest first."""
    room: asyncio.Event
    complete: bool = False
    """Every sample has been decoded."""
    ready: bool = False
    speed: float = 1.0
    task: asyncio.Task[None] | None = None

    def position_ms(self) -> float:
        return self.from_ms + self.taken / BYTES_PER_MS * self.speed

    def buffered_ms(self) -> float:
        return len(self.samples) / BYTES_PER_MS * self.speed


class SoundCard:
    """`client.output.Output` that can be heard."""

    codecs: tuple[Codec, ...] = (Codec.VORBIS, Codec.AAC)
    start_delay_ms = CARD_MS

    def __init__(self, source: Source, clock: DeviceClock, *, ffmpeg: str, tool: Tool) -> None:
        self.name = f"sound card ({tool.name})"
        self._source = source
        self._clock = clock
        self._ffmpeg = ffmpeg
        self._tool = tool
        self._listener: Listener = lambda event: None
        self._loaded: dict[PlayId, _Loaded] = {}
        self._audible: PlayId | None = None
        self._announced = False
        """`Sounded` has been said for what is audible."""
        self._then: PlayId | None = None
        self._last_ms = 0.0
        self._volume = 0.5
        self._throughput = Throughput()
        self._stirred = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        """Decoding, or cancelled and not yet at its end: each has a process to see off."""
        self._player: asyncio.subprocess.Process | None = None
        self._card: asyncio.StreamWriter | None = None
        """Into the player."""

    # --- what the player asks ------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def load(self, lease: Lease, *, position_ms: float) -> None:
        held = self._loaded.get(lease.play_id)
        if held is not None and self._holds(held, position_ms):
            held.lease = lease
            if not held.complete and (held.task is None or held.task.done()):
                self._reload(lease, position_ms, held.speed)
            elif held.ready:
                self._say_soon(BecameReady(play_id=lease.play_id))
            return
        self._reload(lease, position_ms, 1.0 if held is None else held.speed)

    def drop_all_but(self, keep: frozenset[PlayId]) -> None:
        for play_id in [one for one in self._loaded if one not in keep and one != self._audible]:
            self._cancel(self._loaded.pop(play_id))

    def play(self, play_id: PlayId, *, position_ms: float, speed: float) -> None:
        held = self._loaded.get(play_id)
        assert held is not None, "a play is loaded before it is played"
        if speed != held.speed or not self._skip_to(held, position_ms):
            self._reload(held.lease, position_ms, speed)
        self._audible, self._announced = play_id, False
        self._stirred.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run())

    def then(self, play_id: PlayId | None) -> None:
        self._then = play_id

    def silence(self) -> float:
        last_ms = self.position_ms()
        self._audible = None
        if self._player is not None and self._player.returncode is None:
            # What the card still holds would go on sounding: the player goes, the next play opens another.
            with suppress(ProcessLookupError):
                self._player.kill()
        return last_ms

    def position_ms(self) -> float:
        if self._audible is None:
            return 0.0
        held = self._loaded[self._audible]
        return (
            max(held.from_ms, held.position_ms() - CARD_MS * held.speed) if self._announced else held.from_ms
        )

    def buffered_ms(self, play_id: PlayId) -> int:
        held = self._loaded.get(play_id)
        return 0 if held is None else round(held.buffered_ms())

    def throughput_kbps(self) -> int | None:
        return self._throughput.kbps()

    def set_volume(self, *, percent: int, muted: bool) -> None:
        # Loudness goes with about the cube of what a slider says.
        self._volume = 0.0 if muted else (percent / 100) ** 3

    async def close(self) -> None:
        self.silence()
        tasks = [*self._tasks, *([] if self._pump is None else [self._pump])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loaded.clear()
        await self._end_player(within_s=0.0)

    # --- samples in hand -----------------------------------------------------------------------------

    def _holds(self, held: _Loaded, position_ms: float) -> bool:
        # A position behind what was written out is gone; a little past what is decoded is worth waiting for.
        return (
            held.position_ms() - CARD_MS - 1
            <= position_ms
            <= held.position_ms() + held.buffered_ms() + READY_MS
        )

    def _skip_to(self, held: _Loaded, position_ms: float) -> bool:
        """Drop decoded samples before the position; False when it is not in hand."""
        ahead_ms = (position_ms - held.position_ms()) / held.speed
        skip = int(ahead_ms * BYTES_PER_MS) // FRAME_BYTES * FRAME_BYTES
        if not 0 <= skip <= len(held.samples):
            return False
        del held.samples[:skip]
        held.taken += skip
        held.room.set()
        return True

    def _reload(self, lease: Lease, position_ms: float, speed: float) -> None:
        before = self._loaded.get(lease.play_id)
        if before is not None:
            self._cancel(before)
        held = _Loaded(
            lease=lease, from_ms=position_ms, samples=bytearray(), room=asyncio.Event(), speed=speed
        )
        self._loaded[lease.play_id] = held
        held.task = asyncio.get_running_loop().create_task(self._decode(held))
        self._tasks.add(held.task)
        held.task.add_done_callback(self._tasks.discard)

    def _cancel(self, held: _Loaded) -> None:
        if held.task is not None:
            held.task.cancel()

    # --- the pump ------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Write what is audible, until nothing is; then let the card play out what it holds."""
        while self._audible is not None:
            await self._write_while_audible()
            await self._end_player(within_s=DRAIN_WITHIN_S)

    async def _write_while_audible(self) -> None:
        while self._audible is not None:
            held = self._loaded[self._audible]
            if not held.samples:
                if held.complete:
                    self._at_the_end(held)
                else:
                    await self._when_dry(held)
                continue
            card = await self._open_player()
            block = bytes(held.samples[: PUMP_MS * BYTES_PER_MS])
            del held.samples[: len(block)]
            held.taken += len(block)
            held.room.set()
            try:
                card.write(_scaled(block, self._volume))
                await card.drain()
            except (BrokenPipeError, ConnectionResetError):
                # Silenced, or the program ended: the next block opens another.
                await self._end_player(within_s=0.0)
                continue
            if self._audible == held.lease.play_id and not self._announced:
                self._announced = True
                self._say(Sounded(play_id=self._audible, position_ms=held.from_ms))

    def _at_the_end(self, held: _Loaded) -> None:
        if self._then is None or self._then not in self._loaded:
            self._audible = None
            self._say(Ended(play_id=held.lease.play_id))
            return
        self._audible, self._then = self._then, None
        following = self._loaded[self._audible]
        self._say(
            WentOn(
                from_play_id=held.lease.play_id,
                to_play_id=self._audible,
                position_ms=following.position_ms(),
            )
        )

    async def _when_dry(self, held: _Loaded) -> None:
        if self._announced:
            self._announced = False
            self._say(RanDry(play_id=held.lease.play_id, position_ms=held.position_ms()))
        self._stirred.clear()
        await self._stirred.wait()

    async def _open_player(self) -> asyncio.StreamWriter:
        if self._card is not None and self._player is not None and self._player.returncode is None:
            return self._card
        await self._end_player(within_s=0.0)
        ours, theirs = socket.socketpair()
        # What the kernel holds can be taken back by nobody, and every millisecond of it is a late stop.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PUMP_MS * BYTES_PER_MS)
        with theirs:
            self._player = await asyncio.create_subprocess_exec(
                *self._tool.command,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        _, self._card = await asyncio.open_connection(sock=ours)
        self._card.transport.set_write_buffer_limits(high=PUMP_MS * BYTES_PER_MS)
        return self._card

    async def _end_player(self, *, within_s: float) -> None:
        """Close its input and give it so long to play out what it has. May be called again when cut short."""
        if self._card is not None:
            self._card.close()
        if self._player is not None:
            try:
                async with asyncio.timeout(within_s):
                    await self._player.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self._player.kill()
                await self._player.wait()
        self._player = self._card = None

    # --- decoding ------------------------------------------------------------------------------------

    async def _decode(self, held: _Loaded) -> None:
        failures = 0
        while True:
            try:
                await self._decode_once(held)
                return
            except SegueError as fault:
                failures += 1
                if not is_transient(fault) or failures >= ATTEMPTS_MAX:
                    self._say(Failed(play_id=held.lease.play_id, code=fault.code, message=fault.message))
                    return
            await asyncio.sleep(RETRY_S * failures)
            # The decoder starts over from where the samples in hand end.
            held.from_ms, held.taken = held.position_ms() + held.buffered_ms(), 0
            held.samples.clear()

    async def _decode_once(self, held: _Loaded) -> None:
        manifest = await self._source.manifest(held.lease)
        rendition = manifest.rendition(held.lease.rendition)
        if not 0 < rendition.size <= FILE_BYTES_MAX:
            raise SegueError(Code.NOT_PLAYABLE, f"{rendition.file} has {rendition.size} bytes")
        arguments = ["-v", "error", "-i", "pipe:0", "-ss", f"{held.from_ms / 1000:.3f}"]
        filters = [f"volume={held.lease.gain_db}dB"]
        if held.speed != 1.0:
            filters.append(f"atempo={min(held.speed, 2.0)}")
            if held.speed > 2.0:
                filters.append(f"atempo={held.speed / 2.0}")
        arguments += ["-af", ",".join(filters), "-f", "s16le", "-ar", str(RATE_HZ), "-ac", "2", "pipe:1"]
        decoder = await asyncio.create_subprocess_exec(
            self._ffmpeg,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        feeding = asyncio.get_running_loop().create_task(self._feed(held, rendition, decoder))
        try:
            assert decoder.stdout is not None
            while chunk := await decoder.stdout.read(CHUNK_BYTES):
                held.samples += chunk
                self._arrived(held)
                while held.buffered_ms() >= AHEAD_MS:
                    held.room.clear()
                    await held.room.wait()
            await feeding
            if await decoder.wait() != 0:
                raise SegueError(Code.NOT_PLAYABLE, f"{held.lease.uri} could not be decoded")
            held.complete = True
            self._arrived(held)
        finally:
            feeding.cancel()
            with suppress(ProcessLookupError):
                decoder.kill()
            with suppress(asyncio.CancelledError, SegueError):
                await feeding
            await decoder.wait()

    async def _feed(
        self, held: _Loaded, rendition: ManifestRendition, decoder: asyncio.subprocess.Process
    ) -> None:
        assert decoder.stdin is not None
        try:
            offset = 0
            while offset < rendition.size:
                end = min(offset + CHUNK_BYTES, rendition.size)
                began = self._clock.tick_s()
                chunk = await self._source.read(held.lease, rendition, start=offset, end=end)
                self._throughput.measured(size=len(chunk), began=began, ended=self._clock.tick_s())
                decoder.stdin.write(chunk)
                await decoder.stdin.drain()
                offset = end
        except (BrokenPipeError, ConnectionResetError):
            pass  # the decoder ended first; its exit status says why
        finally:
            decoder.stdin.close()

    def _arrived(self, held: _Loaded) -> None:
        if not held.ready and (held.complete or held.buffered_ms() >= READY_MS):
            held.ready = True
            self._say(BecameReady(play_id=held.lease.play_id))
        if held.lease.play_id == self._audible:
            self._stirred.set()

    def _say(self, event: OutputEvent) -> None:
        self._listener(event)

    def _say_soon(self, event: OutputEvent) -> None:
        asyncio.get_running_loop().call_soon(self._say, event)


def _scaled(block: bytes, volume: float) -> bytes:
    """16-bit samples, quieter. In the machine's own order, which is little-endian wherever Ray runs."""
    if volume == 1.0:
        return block
    samples = array("h")
    samples.frombytes(block)
    return array("h", [int(sample * volume) for sample in samples]).tobytes()
