"""States, leases and an output that a test holds in its hand, for the client's tests."""

import msgspec

from catalog.model import Codec
from client.output import Listener, OutputEvent
from connect.frames import Lease
from kernel.ids import DeviceId, PlayId, SessionId, Uid, Uri
from kernel.units import Millis
from sessions.commands import Repeat
from sessions.view import PlayerState, QueueItem, QueueVersion

SERVER_NOW = 1_790_000_000_000


def item(number: int, *, duration_ms: int = 60_000) -> QueueItem:
    return QueueItem(
        uid=Uid(f"uid-{number}"),
        uri=Uri(f"spotify:track:{number:022}"),
        provider="context",
        duration_ms=Millis(duration_ms),
    )


def lease(number: int, *, duration_ms: int = 60_000, expires_at_ms: int = SERVER_NOW + 120_000) -> Lease:
    return Lease(
        uid=Uid(f"uid-{number}"),
        play_id=PlayId(f"play-{number}"),
        uri=Uri(f"spotify:track:{number:022}"),
        url=f"http://127.0.0.1:1/s/lease-{number}/",
        expires_at_ms=Millis(expires_at_ms),
        rendition="vorbis-160",
        gain_db=0.0,
        duration_ms=Millis(duration_ms),
    )


def player_state(
    *,
    active: str | None = "kitchen-1",
    playing: bool = True,
    paused: bool = False,
    number: int = 1,
    version: int = 1,
    epoch: int = 1,
    position_ms: int = 0,
    at_ms: int = SERVER_NOW,
    duration_ms: int = 60_000,
) -> PlayerState:
    """Track `number` at `position_ms`; neither playing nor paused is stopped."""
    stopped = not playing and not paused
    return PlayerState(
        session_id=SessionId("session-1"),
        device_epoch=epoch,
        active_device_id=None if active is None else DeviceId(active),
        is_playing=playing and not paused,
        is_paused=paused,
        is_buffering=False,
        position_as_of_timestamp=Millis(position_ms),
        timestamp=Millis(at_ms),
        playback_speed=1.0 if playing and not paused else 0.0,
        set_speed=1.0,
        playhead_version=version,
        started_playing_at=None,
        track=None if stopped else item(number, duration_ms=duration_ms),
        play_id=None if stopped else PlayId(f"play-{number}"),
        duration=Millis(duration_ms),
        context_uri=None,
        context_revision=None,
        prev_tracks=(),
        next_tracks=(),
        queue_version=QueueVersion(),
        can_undo=False,
        can_restore_queue=False,
        shuffle=False,
        repeat=Repeat.OFF,
        sleep_timer=None,
        disallows={},
        last_handoff=None,
    )


class Call(msgspec.Struct, frozen=True):
    """One thing that an output was asked to do."""

    verb: str
    play_id: str = ""
    position_ms: float = 0.0


class HeldOutput:
    """An output that does nothing by itself: the test reads what it was asked, and says what happened."""

    name = "held"
    codecs: tuple[Codec, ...] = (Codec.VORBIS,)

    def __init__(self, *, start_delay_ms: int = 0) -> None:
        self.start_delay_ms = start_delay_ms
        self.calls: list[Call] = []
        self.loaded: dict[PlayId, Lease] = {}
        self.audible: PlayId | None = None
        self.next: PlayId | None = None
        self.at_ms = 0.0
        """Where it says it is."""
        self.volume_percent = -1
        self._listener: Listener | None = None

    def say(self, event: OutputEvent) -> None:
        assert self._listener is not None
        self._listener(event)

    def sounds(self) -> PlayId | None:
        return self.audible

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def load(self, lease: Lease, *, position_ms: float) -> None:
        self.loaded[lease.play_id] = lease
        self.calls.append(Call("load", lease.play_id, position_ms))

    def drop_all_but(self, keep: frozenset[PlayId]) -> None:
        self.loaded = {
            play_id: held
            for play_id, held in self.loaded.items()
            if play_id in keep or play_id == self.audible
        }

    def play(self, play_id: PlayId, *, position_ms: float, speed: float) -> None:
        assert play_id in self.loaded, "played before it was loaded"
        self.audible, self.at_ms = play_id, position_ms
        self.calls.append(Call("play", play_id, position_ms))

    def then(self, play_id: PlayId | None) -> None:
        assert play_id is None or play_id in self.loaded, "next before it was loaded"
        self.next = play_id

    def silence(self) -> float:
        if self.audible is not None:
            self.calls.append(Call("silence", self.audible, self.at_ms))
        self.audible = None
        return self.at_ms

    def position_ms(self) -> float:
        return self.at_ms

    def buffered_ms(self, play_id: PlayId) -> int:
        return 5_000 if play_id in self.loaded else 0

    def throughput_kbps(self) -> int | None:
        return None

    def set_volume(self, *, percent: int, muted: bool) -> None:
        self.volume_percent = percent

    async def close(self) -> None:
        self.silence()
