"""An output without a sound card: fetches the real bytes at the pace of the music, and counts them.

What it says of positions is exact: the playhead is a line in time that starts when `play` was called. The
bytes are real too: a play sounds only as far as its bytes have arrived, and runs dry when they do not.
"""

import asyncio
from collections.abc import Awaitable, Callable

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
from client.stream import ATTEMPTS_MAX, CHUNK_BYTES, FILE_BYTES_MAX, Source, Throughput, is_transient
from client.timing import DeviceClock
from connect.frames import Lease
from kernel.errors import Code, SegueError
from kernel.ids import PlayId

RETRY_S = 0.5
FULL_WAIT_S = 0.25
"""How long a fetch rests when its buffer is full."""
LOADED_MAX = 4
"""Plays held at once: the audible one, the next, one being prepared, and one that is on its way out."""


class _Loaded(msgspec.Struct, kw_only=True, eq=False):
    """One play in hand."""

    lease: Lease
    from_ms: float
    """Where its bytes begin."""
    got_ms: float
    """Up to where they have arrived."""
    ready: bool = False
    task: asyncio.Task[None] | None = None


class PacedBytes:
    """`client.output.Output` over any source of bytes."""

    name = "paced bytes"
    codecs: tuple[Codec, ...] = (Codec.VORBIS, Codec.AAC)
    start_delay_ms = 0

    def __init__(
        self,
        source: Source,
        clock: DeviceClock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._clock = clock
        self._sleep = sleep
        self._listener: Listener = lambda event: None
        self._loaded: dict[PlayId, _Loaded] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """Fetching, or cancelled and not yet at its end."""
        self._audible: PlayId | None = None
        self._then: PlayId | None = None
        self._anchor_ms = 0.0
        """Position at `_anchor_at_ms`."""
        self._anchor_at_ms: float | None = None
        """Device time from which the position moves; None while it waits for bytes."""
        self._speed = 1.0
        self._timer: asyncio.TimerHandle | None = None
        self._throughput = Throughput()
        self.fetched_bytes = 0
        """Since the start, of all plays."""
        self.volume_percent = 50
        self.muted = False

    # --- what the player asks ------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def load(self, lease: Lease, *, position_ms: float) -> None:
        held = self._loaded.get(lease.play_id)
        if held is not None and held.from_ms <= position_ms <= held.got_ms + READY_MS:
            held.lease = lease
            if held.task is None or held.task.done():
                self._start_fetching(held)
            if held.ready:
                self._say_soon(BecameReady(play_id=lease.play_id))
            return
        if held is not None:
            self._stop_fetching(held)
        held = _Loaded(lease=lease, from_ms=position_ms, got_ms=position_ms)
        self._loaded[lease.play_id] = held
        assert len(self._loaded) <= LOADED_MAX, "the player drops what it no longer needs"
        self._start_fetching(held)

    def drop_all_but(self, keep: frozenset[PlayId]) -> None:
        for play_id in [one for one in self._loaded if one not in keep and one != self._audible]:
            self._stop_fetching(self._loaded.pop(play_id))

    def play(self, play_id: PlayId, *, position_ms: float, speed: float) -> None:
        held = self._loaded.get(play_id)
        assert held is not None, "a play is loaded before it is played"
        if not held.from_ms <= position_ms <= held.got_ms + READY_MS:
            self.load(held.lease, position_ms=position_ms)
            held = self._loaded[play_id]
        self._audible, self._speed = play_id, speed
        self._anchor_ms, self._anchor_at_ms = position_ms, None
        self._sound_if_possible()

    def then(self, play_id: PlayId | None) -> None:
        assert play_id is None or play_id in self._loaded, "what follows is loaded first"
        self._then = play_id

    def silence(self) -> float:
        last_ms = self.position_ms()
        self._audible, self._anchor_at_ms = None, None
        self._cancel_timer()
        return last_ms

    def position_ms(self) -> float:
        if self._audible is None:
            return 0.0
        if self._anchor_at_ms is None:
            return self._anchor_ms
        held = self._loaded[self._audible]
        moved_ms = (self._clock.now_ms() - self._anchor_at_ms) * self._speed
        return min(self._anchor_ms + moved_ms, held.got_ms)

    def buffered_ms(self, play_id: PlayId) -> int:
        held = self._loaded.get(play_id)
        if held is None:
            return 0
        from_ms = self.position_ms() if play_id == self._audible else held.from_ms
        return max(0, round(held.got_ms - from_ms))

    def throughput_kbps(self) -> int | None:
        return self._throughput.kbps()

    def set_volume(self, *, percent: int, muted: bool) -> None:
        self.volume_percent, self.muted = percent, muted

    async def close(self) -> None:
        self.silence()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._loaded.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- time ----------------------------------------------------------------------------------------

    def _sound_if_possible(self) -> None:
        """Begin, or go on after a dry spell, when the bytes are there."""
        if self._audible is None or self._anchor_at_ms is not None:
            return
        held = self._loaded[self._audible]
        if not held.ready and held.got_ms - self._anchor_ms < READY_MS:
            return
        self._anchor_at_ms = self._clock.now_ms()
        self._plan()
        self._say_soon(Sounded(play_id=self._audible, position_ms=self._anchor_ms))

    def _plan(self) -> None:
        """Wake when the playhead reaches the end of what is in hand."""
        self._cancel_timer()
        if self._audible is None or self._anchor_at_ms is None:
            return
        held = self._loaded[self._audible]
        left_ms = (held.got_ms - self._anchor_ms) / self._speed - (self._clock.now_ms() - self._anchor_at_ms)
        self._timer = asyncio.get_running_loop().call_later(max(0.0, left_ms / 1000), self._reached)

    def _reached(self) -> None:
        self._timer = None
        assert self._audible is not None
        assert self._anchor_at_ms is not None
        held = self._loaded[self._audible]
        end_at_ms = self._anchor_at_ms + (held.got_ms - self._anchor_ms) / self._speed
        if self._clock.now_ms() < end_at_ms - 0.5:
            self._plan()
        elif held.got_ms < held.lease.duration_ms:
            self._anchor_ms, self._anchor_at_ms = held.got_ms, None
            held.ready = False
            self._say_soon(RanDry(play_id=self._audible, position_ms=held.got_ms))
        elif self._then is None:
            self._anchor_ms, self._anchor_at_ms = held.got_ms, None
            self._say_soon(Ended(play_id=self._audible))
        else:
            self._go_on(end_at_ms)

    def _go_on(self, end_at_ms: float) -> None:
        """The next play begins where the last one ended, not where the timer woke up: that is gapless."""
        assert self._audible is not None
        assert self._then is not None
        before, self._audible, self._then = self._audible, self._then, None
        held = self._loaded[self._audible]
        self._anchor_ms = held.from_ms
        self._anchor_at_ms = end_at_ms if held.ready else None
        if held.ready:
            self._plan()
        self._say_soon(WentOn(from_play_id=before, to_play_id=self._audible, position_ms=self.position_ms()))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- bytes ---------------------------------------------------------------------------------------

    def _start_fetching(self, held: _Loaded) -> None:
        held.task = asyncio.get_running_loop().create_task(self._fetch(held))
        self._tasks.add(held.task)
        held.task.add_done_callback(self._tasks.discard)

    def _stop_fetching(self, held: _Loaded) -> None:
        if held.task is not None:
            held.task.cancel()

    async def _fetch(self, held: _Loaded) -> None:
        failures = 0
        while True:
            try:
                await self._fetch_on(held)
                return
            except SegueError as fault:
                failures += 1
                if not is_transient(fault) or failures >= ATTEMPTS_MAX:
                    self._say(Failed(play_id=held.lease.play_id, code=fault.code, message=fault.message))
                    return
            await self._sleep(RETRY_S * failures)

    async def _fetch_on(self, held: _Loaded) -> None:
        """Fetch from where the play's bytes end to the end of the file, staying at most so far ahead."""
        manifest = await self._source.manifest(held.lease)
        rendition = manifest.rendition(held.lease.rendition)
        duration_ms = max(1, held.lease.duration_ms)
        if not 0 < rendition.size <= FILE_BYTES_MAX:
            raise SegueError(Code.NOT_PLAYABLE, f"{rendition.file} has {rendition.size} bytes")
        # Bytes stand for time in proportion: the encodings are of nearly constant rate, and a paced device
        # decodes nothing. The first chunk begins at the very start, where the codec's headers are.
        offset = int(rendition.size * min(1.0, held.got_ms / duration_ms))
        while offset < rendition.size:
            while held.got_ms - self._playhead_of(held) >= AHEAD_MS:
                await self._sleep(FULL_WAIT_S)
            end = min(offset + CHUNK_BYTES, rendition.size)
            began = self._clock.tick_s()
            chunk = await self._source.read(held.lease, rendition, start=offset, end=end)
            self._throughput.measured(size=len(chunk), began=began, ended=self._clock.tick_s())
            self.fetched_bytes += len(chunk)
            offset = end
            held.got_ms = max(held.got_ms, duration_ms * offset / rendition.size)
            self._arrived(held)
        held.got_ms = float(held.lease.duration_ms)
        self._arrived(held)

    def _playhead_of(self, held: _Loaded) -> float:
        return self.position_ms() if held.lease.play_id == self._audible else held.from_ms

    def _arrived(self, held: _Loaded) -> None:
        enough = held.got_ms - self._playhead_of(held) >= READY_MS or held.got_ms >= held.lease.duration_ms
        if enough and not held.ready:
            held.ready = True
            self._say(BecameReady(play_id=held.lease.play_id))
        if held.lease.play_id == self._audible:
            self._sound_if_possible()

    # --- events --------------------------------------------------------------------------------------

    def _say(self, event: OutputEvent) -> None:
        self._listener(event)

    def _say_soon(self, event: OutputEvent) -> None:
        """Not from within a call of the player: it would meet itself half changed."""
        asyncio.get_running_loop().call_soon(self._say, event)
