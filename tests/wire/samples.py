"""One canonical frame of every kind, and of every command: what the golden files hold.

Each field has a value other than its default where that can be, so that a renamed or dropped field shows.
"""

import msgspec

from catalog.model import Codec
from connect import frames as f
from kernel.errors import Code
from kernel.ids import CommandId, DeviceId, HandoffId, PlayId, SessionId, Uid, Uri, UserId
from kernel.units import Bytes, Millis
from sessions import commands as c
from sessions.view import (
    HandoffResult,
    PlayerDelta,
    PlayerState,
    QueueItem,
    QueueVersion,
    Reason,
    SleepTimer,
)

KITCHEN = DeviceId("dev-kitchen-01")
PHONE = DeviceId("dev-phone-01")
SESSION = SessionId("01KZZZZZZZZZZZZZZZZZSESS01")
PLAY = PlayId("01KZZZZZZZZZZZZZZZZZPLAY01")
UID_1, UID_2, UID_3 = (Uid(f"01KZZZZZZZZZZZZZZZZZITEM0{n}") for n in (1, 2, 3))
HANDOFF = HandoffId("01KZZZZZZZZZZZZZZZZZHAND01")
COMMAND = CommandId("0198c0de-0000-7000-8000-000000000001")
TRACK = Uri("spotify:track:4uLU6hMCjMI75M1A2tKUQC")
ALBUM = Uri("spotify:album:1DFixLWuPkv3KT3TnV35m3")
USER = UserId("01KZZZZZZZZZZZZZZZZZUSER01")
NOW = Millis(1_790_000_000_000)
VERSION = QueueVersion(major=3, minor=14)

CAPABILITIES = f.Capabilities(
    can_be_player=True,
    is_controllable=False,
    supports_prepare=True,
    gapless=False,
    volume_steps=16,
    codecs=(Codec.VORBIS, Codec.AAC),
    bitrate_kbps_max=320,
    buffer_ms=12_000,
)
INFO = f.DeviceInfo(
    device_id=KITCHEN,
    name="Küche 🎶",
    type=f.DeviceType.SPEAKER,
    capabilities=CAPABILITIES,
    volume_percent=35,
    muted=True,
)
ITEM = QueueItem(
    uid=UID_1,
    uri=TRACK,
    provider="queue",
    duration_ms=Millis(212_000),
    is_speech=True,
    iteration=2,
    added_by=USER,
    added_at_ms=NOW,
)
RADIO_ITEM = QueueItem(
    uid=UID_2,
    uri=TRACK,
    provider="autoplay",
    duration_ms=Millis(200_000),
    reason=Reason(kind="same_artist", text="More by Ada Lovelace", seed_uris=(TRACK,)),
)
PLAYER = PlayerState(
    session_id=SESSION,
    device_epoch=7,
    active_device_id=KITCHEN,
    is_playing=True,
    is_paused=False,
    is_buffering=False,
    position_as_of_timestamp=Millis(31_250),
    timestamp=NOW,
    playback_speed=1.25,
    set_speed=1.25,
    playhead_version=42,
    started_playing_at=Millis(NOW - 31_250),
    track=ITEM,
    play_id=PLAY,
    duration=Millis(212_000),
    context_uri=ALBUM,
    context_revision="r9",
    prev_tracks=(ITEM,),
    next_tracks=(RADIO_ITEM,),
    queue_version=VERSION,
    can_undo=True,
    can_restore_queue=True,
    shuffle=True,
    repeat=c.Repeat.CONTEXT,
    sleep_timer=SleepTimer(at_ms=Millis(NOW + 60_000)),
    disallows={"toggling_shuffle": ("autoplay",)},
    last_handoff=HandoffResult(
        handoff_id=HANDOFF, from_device_id=PHONE, to_device_id=KITCHEN, at_ms=NOW, gap_ms=-1.5, jump_ms=0.25
    ),
)
DEVICE = f.Device(
    device_id=KITCHEN,
    name="Küche 🎶",
    type=f.DeviceType.SPEAKER,
    capabilities=CAPABILITIES,
    volume_percent=35,
    muted=True,
    is_active=True,
    connection=f.Connection.GRACE,
    last_seen_at_ms=NOW,
    rtt_ms=1.5,
    clock_offset_ms=-12.75,
    clock_error_ms=0.75,
    disallow_transfer_reasons=("no_common_codec",),
)
HANDOFF_VIEW = f.Handoff(
    handoff_id=HANDOFF,
    from_device_id=PHONE,
    to_device_id=KITCHEN,
    phase=f.Phase.DONE,
    deadline_at_ms=Millis(NOW + 5_000),
    start_at_ms=Millis(NOW + 150),
    gap_ms=3.5,
    jump_ms=-0.25,
    reason="target_silent",
)
LEASE = f.Lease(
    uid=UID_1,
    play_id=PLAY,
    uri=TRACK,
    url="http://127.0.0.1:8001/s/bGVhc2U/",
    expires_at_ms=Millis(NOW + 120_000),
    rendition="aac-160",
    gain_db=-3.5,
    duration_ms=Millis(212_000),
)
ERROR = f.ErrorBody(
    code=Code.RATE_LIMITED,
    message="more than 20 a second were sent",
    details={"endpoint": "seek_to", "reasons": ["a", "b"], "most": 20},
    retry_after_ms=Millis(50),
)

COMMANDS: dict[str, c.Command] = {
    "play": c.Play(
        context_uri=ALBUM,
        offset_index=3,
        position_ms=Millis(1_000),
        shuffle=False,
        device_id=KITCHEN,
    ),
    "play_uris": c.Play(uris=(TRACK, TRACK), offset_uri=TRACK),
    "pause": c.Pause(),
    "resume": c.Resume(device_id=KITCHEN),
    "seek_to": c.SeekTo(position_ms=Millis(91_000)),
    "skip_next": c.SkipNext(from_uid=UID_1),
    "skip_prev": c.SkipPrev(from_uid=UID_1),
    "play_item": c.PlayItem(uid=UID_2),
    "set_shuffle": c.SetShuffle(shuffle=True),
    "set_repeat": c.SetRepeat(repeat=c.Repeat.TRACK),
    "set_speed": c.SetSpeed(speed=1.5),
    "add_to_queue": c.AddToQueue(uris=(TRACK,), after_uid=UID_1),
    "remove_from_queue": c.RemoveFromQueue(uids=(UID_1, UID_2)),
    "move_in_queue": c.MoveInQueue(uids=(UID_3,), after_uid=UID_1),
    "clear_queue": c.ClearQueue(),
    "undo": c.Undo(),
    "restore_queue": c.RestoreQueue(),
    "set_sleep_timer": c.SetSleepTimer(duration_ms=Millis(600_000)),
    "transfer": c.Transfer(device_id=KITCHEN, restore_paused=c.RestorePaused.RESUME, plan=True),
    "set_volume": c.SetVolume(delta_percent=-5, device_id=KITCHEN),
    "rename_device": c.RenameDevice(device_id=KITCHEN, name="Kitchen"),
    "forget_device": c.ForgetDevice(device_id=KITCHEN),
}

CLIENT_FRAMES: dict[str, f.ClientFrame] = {
    "hello": f.Hello(
        ticket="eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        device=INFO,
        connection_nonce="n0nce-0001",
        resume=f.Resume(owner_epoch=4, seq=1_234),
        play_id=PLAY,
    ),
    "report": f.Report(
        device_epoch=7,
        play_id=PLAY,
        playhead_version=42,
        state=f.ReportState.BUFFERING,
        position_ms=Millis(31_250),
        measured_at_ms=NOW,
        buffered_ms=9_000,
        throughput_kbps=5_400,
        error="decode",
    ),
    "advanced": f.AdvancedFrame(
        device_epoch=7,
        from_uid=UID_1,
        to_uid=UID_2,
        play_id=PLAY,
        position_ms=Millis(12),
        measured_at_ms=NOW,
    ),
    "volume": f.VolumeReport(volume_percent=64, muted=True),
    "ready": f.Ready(handoff_id=HANDOFF, buffered_ms=8_000, start_delay_ms=23, attempt=2),
    "refuse": f.Refuse(handoff_id=HANDOFF, reason="no audio output"),
    "switched": f.Switched(handoff_id=HANDOFF, at_ms=1_790_000_000_150.125, position_ms=31_400.5),
    "ping": f.Ping(t0_ms=1_234.5, rtt_ms=1.5, clock_offset_ms=-12.75, clock_error_ms=0.75),
    "renew": f.Renew(),
    "goodbye": f.Goodbye(reason=f.GoodbyeReason.USER_REQUEST),
    **{
        f"command.{name}": f.CommandFrame(
            command_id=COMMAND, command=command, if_device_epoch=7, if_queue_version=VERSION
        )
        for name, command in COMMANDS.items()
    },
}

SERVER_FRAMES: dict[str, f.ServerFrame] = {
    "welcome": f.Welcome(
        session_id=SESSION,
        device_id=KITCHEN,
        owner_epoch=4,
        seq=1_240,
        now_ms=NOW,
        limits=f.Limits(
            frame_bytes_max=Bytes(65_536),
            frames_per_s=20,
            frames_burst=60,
            ping_every_s=10,
            lease_s=120,
            hello_within_s=10,
            prefetch_items=3,
        ),
        resumed=True,
    ),
    "snapshot": f.Snapshot(
        owner_epoch=4,
        seq=1_240,
        player=PLAYER,
        devices=(DEVICE,),
        handoff=HANDOFF_VIEW,
        reason="resume_too_old",
    ),
    "push": f.Push(
        owner_epoch=4,
        seq=1_241,
        player=PlayerDelta(
            is_playing=False,
            is_paused=True,
            position_as_of_timestamp=Millis(40_000),
            timestamp=NOW,
            playback_speed=0.0,
            playhead_version=43,
            track=None,
            sleep_timer=None,
        ),
        devices=(DEVICE,),
        handoff=None,
        durable=True,
        command_id=COMMAND,
    ),
    "push.volatile": f.Push(
        owner_epoch=4,
        seq=1_241,
        player=PlayerDelta(position_as_of_timestamp=Millis(40_010), timestamp=NOW),
    ),
    "reply": f.Reply(command_id=COMMAND, ok=True, seq=1_241, result={"volume_percent": 30}),
    "reply.error": f.Reply(command_id=COMMAND, ok=False, seq=1_241, error=ERROR),
    "media": f.Media(device_epoch=7, leases=(LEASE,)),
    "prepare": f.Prepare(
        handoff_id=HANDOFF,
        device_epoch=8,
        player=PLAYER,
        lease=LEASE,
        deadline_at_ms=Millis(NOW + 5_000),
        will_play=True,
        attempt=2,
    ),
    "switch": f.Switch(
        handoff_id=HANDOFF,
        device_epoch=8,
        role="target",
        start_at_ms=Millis(NOW + 150),
        position_ms=Millis(31_400),
        playing=True,
    ),
    "abort": f.Abort(handoff_id=HANDOFF, reason="deadline"),
    "set_volume": f.SetVolumeFrame(volume_percent=30, muted=True),
    "pong": f.Pong(t0_ms=1_234.5, t1_ms=1_790_000_000_000.25, t2_ms=1_790_000_000_000.5),
    "error": f.ErrorFrame(error=ERROR),
    "goaway": f.GoAway(reason="drain", reconnect_after_ms=Millis(0), jitter_ms=Millis(2_000)),
}


def names_of(union: object) -> set[str]:
    """The tags of a union of frames or commands."""
    return {str(struct.__struct_config__.tag) for struct in union.__args__}  # type: ignore[attr-defined]  # a types.UnionType


def plain(frame: msgspec.Struct) -> object:
    """The frame as JSON's own values."""
    return msgspec.json.decode(msgspec.json.encode(frame))
