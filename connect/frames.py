"""Every frame of the conversation between a device and its host. `docs/protocol.md` is the prose beside it.

One frame is one websocket message: a map whose `type` names the struct. Fields that are absent have their
default. Times are integer milliseconds unless the name says otherwise; `…_at_ms` is server wall time.
Frames from the client come first, then those from the server.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from catalog.model import Codec
from kernel.errors import Code
from kernel.ids import CommandId, DeviceId, HandoffId, PlayId, SessionId, Uid, Uri
from kernel.units import Bytes, Millis
from sessions.commands import Command, Percent, PositionMs
from sessions.view import PlayerDelta, PlayerState, QueueVersion

SUBPROTOCOL_MSGPACK = "segue.v1.msgpack"
SUBPROTOCOL_JSON = "segue.v1.json"
FRAME_BYTES_MAX = 64 * 1024

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Token = Annotated[str, Meta(max_length=4096)]
ShortText = Annotated[str, Meta(max_length=200)]
Nonce = Annotated[str, Meta(min_length=8, max_length=64)]
CodecName = Annotated[str, Meta(min_length=1, max_length=32)]
EpochMs = Annotated[Millis, Meta(ge=0, le=1 << 45)]


class DeviceType(StrEnum):
    COMPUTER = "computer"
    SMARTPHONE = "smartphone"
    SPEAKER = "speaker"
    WEB = "web"
    UNKNOWN = "unknown"


class Connection(StrEnum):
    """Where a device stands with its host."""

    ONLINE = "online"
    GRACE = "grace"
    """Nothing heard for 25 s, or the socket broke; it may come back."""
    OFFLINE = "offline"


class GoodbyeReason(StrEnum):
    SHUTDOWN = "shutdown"
    RESTART = "restart"
    USER_REQUEST = "user_request"
    ANOTHER_SERVER = "another_server"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a device can do."""

    can_be_player: bool = True
    """False is a pure remote."""
    is_controllable: bool = True
    """Others may command it."""
    supports_prepare: bool = True
    """Can buffer silently before a handoff; without it the switch is a stop and a start."""
    gapless: bool = True
    volume_steps: Annotated[int, Meta(ge=0, le=100)] = 100
    """0: its volume cannot be set from here."""
    codecs: Annotated[tuple[CodecName, ...], Meta(max_length=8)] = (Codec.AAC, Codec.VORBIS)
    """Playable, best first; names of `catalog.model.Codec`, and of codecs that this server does not have."""
    bitrate_kbps_max: Annotated[int, Meta(ge=16, le=10_000)] = 10_000
    """What its listener prefers at most."""
    buffer_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 30_000


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of itself."""

    device_id: Annotated[DeviceId, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._-]+\Z")]
    """Made once by the device and kept."""
    name: Name
    type: DeviceType = DeviceType.UNKNOWN
    capabilities: Capabilities = Capabilities()
    volume_percent: Percent = 50
    muted: bool = False


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device as its user's other devices see it."""

    device_id: DeviceId
    name: str
    type: DeviceType
    capabilities: Capabilities
    volume_percent: int
    muted: bool
    is_active: bool
    connection: Connection
    last_seen_at_ms: Millis
    rtt_ms: float | None = None
    clock_offset_ms: float | None = None
    """Device clock minus server clock, as the device published it."""
    clock_error_ms: float | None = None
    disallow_transfer_reasons: tuple[str, ...] = ()
    """Why nothing can be handed to it now: offline, not_a_player, no_common_codec."""


class Phase(StrEnum):
    PREPARING = "preparing"
    READY = "ready"
    COMMITTED = "committed"
    DONE = "done"
    ABORTED = "aborted"


class Handoff(msgspec.Struct, frozen=True, kw_only=True):
    """The handoff under way, or the one that just ended."""

    handoff_id: HandoffId
    from_device_id: DeviceId | None
    to_device_id: DeviceId
    phase: Phase
    deadline_at_ms: Millis
    start_at_ms: Millis | None = None
    gap_ms: float | None = None
    jump_ms: float | None = None
    reason: str | None = None
    """Why it was aborted: deadline, target_lost, target_refused, source_lost, superseded, stopped, store."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the host holds a connection to."""

    frame_bytes_max: Bytes = Bytes(FRAME_BYTES_MAX)
    frames_per_s: int = 20
    frames_burst: int = 60
    ping_every_s: int = 10
    lease_s: int = 120
    hello_within_s: int = 10
    prefetch_items: int = 3


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    owner_epoch: Annotated[int, Meta(ge=0, le=1 << 53)]
    seq: Annotated[int, Meta(ge=0, le=1 << 53)]


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to fetch one item's bytes, for one play on one device."""

    uid: Uid
    play_id: PlayId
    uri: Uri
    url: str
    """Signed prefix, ends in `/`. `<url>manifest.json` says what lies under it."""
    expires_at_ms: Millis
    rendition: str
    """The one chosen for this device (`aac-160`); the manifest describes it."""
    gain_db: float
    duration_ms: Millis


# --- from the client ---------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """First frame, within `hello_within_s`."""

    ticket: Token
    """From `GET /v1/connect`."""
    device: DeviceInfo
    connection_nonce: Nonce
    """New for every connection; of two sockets with one device id the newer stays."""
    resume: Resume | None = None
    play_id: PlayId | None = None
    """What the device plays at this moment, so that a resume does not restart it."""


class CommandFrame(msgspec.Struct, frozen=True, kw_only=True, tag="command"):
    """One command; answered by one reply with the same `command_id`."""

    command_id: Annotated[CommandId, Meta(min_length=8, max_length=64)]
    command: Command
    if_device_epoch: int | None = None
    if_queue_version: QueueVersion | None = None


class ReportState(StrEnum):
    PLAYING = "playing"
    PAUSED = "paused"
    BUFFERING = "buffering"
    ENDED = "ended"


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """The active device's word on the playhead: at each change, and every 10 s while playing."""

    device_epoch: int
    play_id: PlayId
    playhead_version: int
    state: ReportState
    position_ms: PositionMs
    measured_at_ms: EpochMs
    buffered_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    throughput_kbps: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    """Measured while fetching; the next track's quality follows it."""
    error: ShortText | None = None


class AdvancedFrame(msgspec.Struct, frozen=True, kw_only=True, tag="advanced"):
    """The active device went on to the next prefetched item by itself."""

    device_epoch: int
    from_uid: Uid
    to_uid: Uid
    play_id: PlayId
    position_ms: PositionMs
    measured_at_ms: EpochMs


class VolumeReport(msgspec.Struct, frozen=True, kw_only=True, tag="volume"):
    """This device's volume changed at the device."""

    volume_percent: Percent
    muted: bool = False


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The target of a handoff has buffered and could sound."""

    handoff_id: HandoffId
    buffered_ms: Annotated[int, Meta(ge=0, le=86_400_000)]
    start_delay_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """From a decision to sound to sound at the output: decode and output latency."""
    attempt: int | None = None
    """Of the prepare that is answered; None is the latest. An older one than the latest is passed over."""


class Refuse(msgspec.Struct, frozen=True, kw_only=True, tag="refuse"):
    """The target will not."""

    handoff_id: HandoffId
    reason: ShortText


class Switched(msgspec.Struct, frozen=True, kw_only=True, tag="switched"):
    """One end's account of the switch: when (server time) and at which position its sound began or ended."""

    handoff_id: HandoffId
    at_ms: Annotated[float, Meta(ge=0)]
    """Fractions allowed: the gap is a difference of two of these."""
    position_ms: Annotated[float, Meta(ge=0)]


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag="ping"):
    """Sign of life and clock probe. The rest is what the device has worked out so far, for others to see."""

    t0_ms: float
    """Device clock at sending; echoed."""
    rtt_ms: Annotated[float, Meta(ge=0, le=60_000)] | None = None
    clock_offset_ms: float | None = None
    clock_error_ms: Annotated[float, Meta(ge=0)] | None = None


class Renew(msgspec.Struct, frozen=True, kw_only=True, tag="renew"):
    """Ask for the leases anew now (after sleep, or a fetch that was refused)."""


class Goodbye(msgspec.Struct, frozen=True, kw_only=True, tag="goodbye"):
    reason: GoodbyeReason


ClientFrame = (
    Hello
    | CommandFrame
    | Report
    | AdvancedFrame
    | VolumeReport
    | Ready
    | Refuse
    | Switched
    | Ping
    | Renew
    | Goodbye
)


# --- from the server ---------------------------------------------------------------------------------


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """Answer to hello. `resumed`: the missed pushes follow, oldest first, then the newest volatile values as
    one push. Otherwise a snapshot follows."""

    session_id: SessionId
    device_id: DeviceId
    owner_epoch: int
    seq: int
    """Where the server stands."""
    now_ms: Millis
    limits: Limits
    resumed: bool


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """Everything. Replaces whatever the client had."""

    owner_epoch: int
    seq: int
    player: PlayerState
    devices: tuple[Device, ...]
    handoff: Handoff | None
    reason: ShortText
    """`hello`, `resume_too_old`, `slow_consumer`."""


class Push(msgspec.Struct, frozen=True, kw_only=True, tag="push", omit_defaults=True):
    """What changed. `seq` is the session's log place: it grows by one with each durable change, and a push of
    volatile values alone (position, pause, volume, devices) repeats it."""

    owner_epoch: int
    seq: int
    player: PlayerDelta | UnsetType = UNSET
    devices: tuple[Device, ...] | UnsetType = UNSET
    """The whole list."""
    handoff: Handoff | None | UnsetType = UNSET
    durable: bool = False
    """This push is the one that carries its `seq`."""
    command_id: CommandId | None = None
    """The command that caused it, if one did."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    code: Code
    message: str
    details: dict[str, object] = {}
    retry_after_ms: Millis | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag="reply", omit_defaults=True):
    """Answer to one command. Durable changes are durable when it arrives."""

    command_id: CommandId
    ok: bool
    seq: int = 0
    """The log place after the command."""
    result: dict[str, object] = {}
    error: ErrorBody | None = None


class Media(msgspec.Struct, frozen=True, kw_only=True, tag="media"):
    """To the active device (or the target of a handoff): leases of the current item and the next three, sent
    again when the queue changes and before they run out."""

    device_epoch: int
    leases: tuple[Lease, ...]
    """The current item first; empty when nothing is to be played."""


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag="prepare"):
    """To the target: buffer silently, then `ready` (or `refuse`) before the deadline."""

    handoff_id: HandoffId
    device_epoch: int
    """The one it will have."""
    player: PlayerState
    lease: Lease
    deadline_at_ms: Millis
    will_play: bool
    attempt: int = 1
    """Grows when what was to be prepared changed meanwhile (a skip, a seek): start over with this one."""


class Switch(msgspec.Struct, frozen=True, kw_only=True, tag="switch"):
    """To both ends, after the commit: at `start_at_ms` the source falls silent and the target sounds, at
    `position_ms` of the item. Each then sends `switched`."""

    handoff_id: HandoffId
    device_epoch: int
    role: str
    """`source` or `target`."""
    start_at_ms: Millis
    position_ms: Millis
    playing: bool


class Abort(msgspec.Struct, frozen=True, kw_only=True, tag="abort"):
    """To the target: forget what was prepared. The source was never told anything."""

    handoff_id: HandoffId
    reason: ShortText


class SetVolumeFrame(msgspec.Struct, frozen=True, kw_only=True, tag="set_volume"):
    """To one device: somebody else set its volume."""

    volume_percent: int
    muted: bool = False


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag="pong"):
    t0_ms: float
    t1_ms: float
    """Server wall time at receipt."""
    t2_ms: float
    """Server wall time at sending."""


class ErrorFrame(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """A fault outside any command. Closing follows when the code's close code is set."""

    error: ErrorBody


class GoAway(msgspec.Struct, frozen=True, kw_only=True, tag="goaway"):
    """Please connect again elsewhere, after `reconnect_after_ms` and a random part of `jitter_ms`."""

    reason: ShortText
    reconnect_after_ms: Millis
    jitter_ms: Millis


ServerFrame = (
    Welcome
    | Snapshot
    | Push
    | Reply
    | Media
    | Prepare
    | Switch
    | Abort
    | SetVolumeFrame
    | Pong
    | ErrorFrame
    | GoAway
)
