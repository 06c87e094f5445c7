"""`/v1/me/player`: the same live session that the sockets act on.

Every change is one command to the session's host, as a socket would send it; a refusal there is an error body
here. What the Web API leaves open is decided as on the socket: commands of one session are totally ordered.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.responses import Response

from connect.frames import CommandFrame, Device, DeviceType, Snapshot
from kernel.errors import Code, Rejected, SegueError
from kernel.ids import CommandId, DeviceId, Uri
from kernel.units import Millis
from serve.directory import Directory
from serve.rest.exchange import json_response, no_content
from serve.rest.library import timestamp
from serve.rest.objects import (
    Actions,
    CurrentlyPlaying,
    CursorPage,
    Cursors,
    DeviceObject,
    Devices,
    EpisodeObject,
    PlaybackState,
    PlayHistory,
    QueueObject,
    TrackObject,
)
from serve.rest.operations import Ask, NoParams, Operation
from serve.rest.parameters import InMarket, Limit
from serve.rest.reader import CatalogueReader
from serve.tokens import AccessClaims
from sessions.commands import (
    URIS_MAX,
    AddToQueue,
    Command,
    Pause,
    Percent,
    Play,
    PositionMs,
    Repeat,
    RestorePaused,
    Resume,
    SeekTo,
    SetRepeat,
    SetShuffle,
    SetSpeed,
    SetVolume,
    SkipNext,
    SkipPrev,
    Speed,
    Transfer,
)
from sessions.view import PlayerState

READ = "user-read-playback-state"
READ_CURRENT = "user-read-currently-playing"
READ_RECENT = "user-read-recently-played"
MODIFY = "user-modify-playback-state"

_TYPES = {
    DeviceType.COMPUTER: "Computer",
    DeviceType.SMARTPHONE: "Smartphone",
    DeviceType.SPEAKER: "Speaker",
    DeviceType.WEB: "Computer",
    DeviceType.UNKNOWN: "Unknown",
}
_WEB_API_ACTIONS = {
    "interrupting_playback",
    "pausing",
    "resuming",
    "seeking",
    "skipping_next",
    "skipping_prev",
    "toggling_repeat_context",
    "toggling_shuffle",
    "toggling_repeat_track",
    "transferring_playback",
}


TIME_MAX = 10**15 - 1

COMMAND_REFUSALS = (
    Code.NO_ACTIVE_DEVICE,
    Code.DEVICE_UNAVAILABLE,
    Code.NOT_FOUND,
    Code.NOT_PLAYABLE,
    Code.DISALLOWED,
    Code.QUEUE_FULL,
    Code.HANDOFF_IN_PROGRESS,
    Code.HANDOFF_FAILED,
)

DeviceText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Where: the id of a device of `/v1/me/player/devices`. Left out: the active one.",
        examples=["phone-001"],
    ),
]
UriText = Annotated[
    Uri,
    Meta(
        min_length=1,
        max_length=64,
        description="The URI of a track or an episode.",
        examples=["spotify:track:3wYKLTQ9uCeLsKzqpAqB2x"],
    ),
]


class Looking(InMarket, frozen=True, kw_only=True):
    additional_types: (
        Annotated[str, Meta(max_length=64, description="Has no effect: both kinds are always shown.")] | None
    ) = None


class Recently(msgspec.Struct, frozen=True, kw_only=True):
    limit: Limit = 20
    after: Annotated[int, Meta(ge=0, le=TIME_MAX, description="Later than this, Unix time in ms.")] | None = (
        None
    )
    before: (
        Annotated[int, Meta(ge=0, le=TIME_MAX, description="Earlier than this, Unix time in ms.")] | None
    ) = None


class OnDevice(msgspec.Struct, frozen=True, kw_only=True):
    device_id: DeviceText | None = None


class SeekParams(OnDevice, frozen=True, kw_only=True):
    position_ms: Annotated[PositionMs, Meta(description="Past the end is the end.", examples=[25_000])]


class RepeatParams(OnDevice, frozen=True, kw_only=True):
    state: Literal["off", "context", "track"]


class ShuffleParams(OnDevice, frozen=True, kw_only=True):
    state: bool


class SpeedParams(OnDevice, frozen=True, kw_only=True):
    speed: Annotated[Speed, Meta(description="1 is as it was spoken.", examples=[1.5])]


class VolumeParams(OnDevice, frozen=True, kw_only=True):
    volume_percent: Annotated[Percent, Meta(description="0 is silent.", examples=[50])]


class QueueParams(OnDevice, frozen=True, kw_only=True):
    uri: UriText


class Offset(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the context to begin: at most one of the two."""

    position: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    uri: UriText | None = None


class PlayBody(msgspec.Struct, frozen=True, kw_only=True):
    """At most one of `context_uri` and `uris`."""

    context_uri: UriText | None = None
    uris: Annotated[tuple[UriText, ...], Meta(max_length=URIS_MAX)] | None = None
    offset: Offset | None = None
    position_ms: PositionMs | None = None
    """Left out: an episode goes on where it was left, anything else begins at its start."""


class TransferBody(msgspec.Struct, frozen=True, kw_only=True):
    device_ids: Annotated[tuple[DeviceText, ...], Meta(min_length=1, max_length=1)]
    play: bool | None = None
    """True: the target plays. Else it goes on as the source was."""


class PlayerEndpoints:
    """The handlers. `mint_command_id` makes ids for commands whose client has none."""

    def __init__(
        self,
        directory: Directory,
        reader: CatalogueReader,
        mint_command_id: Callable[[], CommandId],
    ) -> None:
        self._directory = directory
        self._reader = reader
        self._mint_command_id = mint_command_id

    def operations(self) -> list[Operation[Any, Any]]:
        def read(
            path: str, summary: str, handler: Any, scopes: tuple[str, ...], **more: Any
        ) -> Operation[Any, Any]:
            return Operation(
                method="GET",
                path=f"/v1/me/player{path}",
                summary=summary,
                tag="Player",
                handler=handler,
                scopes=scopes,
                **{"params": Looking, **more},
            )

        def change(
            method: str, path: str, summary: str, handler: Any, params: type[msgspec.Struct], **more: Any
        ) -> Operation[Any, Any]:
            return Operation(
                method=method,
                path=f"/v1/me/player{path}",
                summary=summary,
                tag="Player",
                handler=handler,
                params=params,
                scopes=(MODIFY,),
                answers={204: None},
                refusals=(*COMMAND_REFUSALS, Code.BAD_REQUEST),
                **more,
            )

        both = (READ, READ_CURRENT)
        done = "204 when the session has taken it; every socket of the listener is told at the same time."
        return [
            read(
                "",
                "What plays, where, and how",
                self.playback_state,
                (READ,),
                answers={200: PlaybackState, 204: None},
                description="204 while no device is active.",
            ),
            change(
                "PUT",
                "",
                "Hand what plays to another device",
                self.transfer,
                NoParams,
                body=TransferBody,
                description="Answered when the handoff is committed or has failed.",
            ),
            read(
                "/devices",
                "Devices that can play",
                self.devices,
                (READ,),
                params=NoParams,
                answers={200: Devices},
            ),
            read(
                "/currently-playing",
                "What plays",
                self.currently_playing,
                both,
                answers={200: CurrentlyPlaying, 204: None},
                description="204 while nothing does.",
            ),
            read(
                "/queue",
                "What plays and what comes next",
                self.queue,
                both,
                params=NoParams,
                answers={200: QueueObject},
            ),
            read(
                "/recently-played",
                "What was heard, newest first",
                self.recently_played,
                (READ_RECENT,),
                params=Recently,
                answers={200: CursorPage[PlayHistory]},
                description="Tracks heard for 30 s, or half of a shorter one. Episodes are not among them.",
            ),
            change(
                "PUT",
                "/play",
                "Play something, or go on",
                self.play,
                OnDevice,
                body=PlayBody,
                body_required=False,
                description=(
                    "Without a body, or without a context and uris: go on. The plan does not matter: a free "
                    "account may control playback too, where the Web API has PREMIUM_REQUIRED."
                ),
            ),
            change("PUT", "/pause", "Pause", self.pause, OnDevice, description=done),
            change("POST", "/next", "Skip to what comes next", self.next, OnDevice, description=done),
            change(
                "POST",
                "/previous",
                "Back to what came before",
                self.previous,
                OnDevice,
                description="To the start of this one when more than 3 s of it were heard.",
            ),
            change("PUT", "/seek", "Move within what plays", self.seek, SeekParams),
            change("PUT", "/repeat", "Set repeat", self.repeat, RepeatParams),
            change("PUT", "/shuffle", "Set shuffle", self.shuffle, ShuffleParams),
            change("PUT", "/volume", "Set a device's volume", self.volume, VolumeParams),
            change(
                "PUT",
                "/speed",
                "Set the playback speed of what is spoken",
                self.speed,
                SpeedParams,
                description="Segue's own. Kept for the next that is spoken; refused while music plays.",
            ),
            change("POST", "/queue", "Add to the queue", self.add_to_queue, QueueParams),
        ]

    # --- reading ------------------------------------------------------------------------------------

    async def playback_state(self, ask: Ask[Looking, None]) -> Response:
        seen = await self._look(ask.claims)
        device = _active(seen)
        if device is None:
            return no_content()
        current = await self._current(seen.player, ask.claims)
        fields = {name: getattr(current, name) for name in current.__struct_fields__}
        return json_response(
            PlaybackState(
                device=device_object(device),
                repeat_state=seen.player.repeat.value,
                shuffle_state=seen.player.shuffle,
                **fields,
            )
        )

    async def currently_playing(self, ask: Ask[Looking, None]) -> Response:
        seen = await self._look(ask.claims)
        if seen.player.track is None:
            return no_content()
        return json_response(await self._current(seen.player, ask.claims))

    async def devices(self, ask: Ask[NoParams, None]) -> Response:
        seen = await self._look(ask.claims)
        players = (device for device in seen.devices if device.capabilities.can_be_player)
        return json_response(Devices(devices=tuple(map(device_object, players))))

    async def queue(self, ask: Ask[NoParams, None]) -> Response:
        player = (await self._look(ask.claims)).player
        uris = [item.uri for item in ((player.track,) if player.track else ()) + player.next_tracks]
        pieces = await self._reader.piece_objects(uris, ask.claims)
        current = pieces.pop(0) if player.track else None
        coming = tuple(piece for piece in pieces if piece is not None)
        return json_response(QueueObject(currently_playing=current, queue=coming))

    async def recently_played(self, ask: Ask[Recently, None]) -> Response:
        params = ask.params
        if params.before is not None and params.after is not None:
            raise Rejected(Code.BAD_REQUEST, "recently-played rejected: it takes one of before and after")
        before, after = (Millis(each) if each is not None else None for each in (params.before, params.after))
        plays = await self._reader.library.plays(
            ask.claims.user_id, limit=params.limit, before_ms=before, after_ms=after
        )
        pieces = await self._reader.piece_objects([play.uri for play in plays], ask.claims)
        shapes = self._reader.shapes
        items = tuple(
            PlayHistory(
                track=piece, played_at=timestamp(play.played_at_ms), context=shapes.context(play.context_uri)
            )
            for play, piece in zip(plays, pieces, strict=True)
            if isinstance(piece, TrackObject)
        )
        newest = str(plays[0].played_at_ms) if plays else None
        oldest = str(plays[-1].played_at_ms) if len(plays) == params.limit else None
        path = "/v1/me/player/recently-played"
        return json_response(
            CursorPage[PlayHistory](
                href=shapes.page_link(path, limit=params.limit),
                items=items,
                limit=params.limit,
                next=shapes.page_link(path, limit=params.limit, before=oldest) if oldest else None,
                cursors=Cursors(after=newest, before=oldest),
            )
        )

    async def _look(self, claims: AccessClaims) -> Snapshot:
        return await self._directory.call(claims.user_id, lambda host: host.look(claims.user_id))

    async def _current(self, player: PlayerState, claims: AccessClaims) -> CurrentlyPlaying:
        item = (await self._reader.piece_objects([player.track.uri], claims))[0] if player.track else None
        elapsed = (self._reader.now_ms() - player.timestamp) * player.playback_speed
        progress = min(max(player.position_as_of_timestamp + elapsed, 0), player.duration)
        kind = "episode" if isinstance(item, EpisodeObject) else "track"
        return CurrentlyPlaying(
            context=self._reader.shapes.context(player.context_uri),
            timestamp=player.timestamp,
            progress_ms=Millis(int(progress)),
            is_playing=player.is_playing,
            item=item,
            currently_playing_type=kind if player.track else "unknown",
            actions=Actions(disallows={name: True for name in player.disallows if name in _WEB_API_ACTIONS}),
        )

    # --- changing -----------------------------------------------------------------------------------

    async def play(self, ask: Ask[OnDevice, PlayBody | None]) -> Response:
        body = ask.body or PlayBody()
        if body.context_uri is None and not body.uris:
            await self._command(ask, Resume(device_id=_device_id(ask)))
            if body.position_ms is not None:
                await self._command(ask, SeekTo(position_ms=body.position_ms))
            return no_content()
        offset = body.offset or Offset()
        return await self._command(
            ask,
            Play(
                context_uri=body.context_uri,
                uris=body.uris or (),
                offset_uri=offset.uri,
                offset_index=offset.position,
                position_ms=body.position_ms,
                device_id=_device_id(ask),
            ),
        )

    async def transfer(self, ask: Ask[NoParams, TransferBody]) -> Response:
        restore = RestorePaused.RESUME if ask.body.play else RestorePaused.RESTORE
        command = Transfer(device_id=DeviceId(ask.body.device_ids[0]), restore_paused=restore)
        return await self._command(ask, command)

    async def pause(self, ask: Ask[OnDevice, None]) -> Response:
        return await self._command(ask, Pause())

    async def next(self, ask: Ask[OnDevice, None]) -> Response:
        return await self._command(ask, SkipNext())

    async def previous(self, ask: Ask[OnDevice, None]) -> Response:
        return await self._command(ask, SkipPrev())

    async def seek(self, ask: Ask[SeekParams, None]) -> Response:
        return await self._command(ask, SeekTo(position_ms=ask.params.position_ms))

    async def repeat(self, ask: Ask[RepeatParams, None]) -> Response:
        return await self._command(ask, SetRepeat(repeat=Repeat(ask.params.state)))

    async def shuffle(self, ask: Ask[ShuffleParams, None]) -> Response:
        return await self._command(ask, SetShuffle(shuffle=ask.params.state))

    async def volume(self, ask: Ask[VolumeParams, None]) -> Response:
        return await self._command(
            ask, SetVolume(volume_percent=ask.params.volume_percent, device_id=_device_id(ask))
        )

    async def speed(self, ask: Ask[SpeedParams, None]) -> Response:
        return await self._command(ask, SetSpeed(speed=ask.params.speed))

    async def add_to_queue(self, ask: Ask[QueueParams, None]) -> Response:
        return await self._command(ask, AddToQueue(uris=(Uri(ask.params.uri),)))

    async def _command(self, ask: Ask[Any, Any], command: Command) -> Response:
        """204 once the session has taken it. Raises what it was refused with."""
        user_id = ask.claims.user_id
        frame = CommandFrame(command_id=self._mint_command_id(), command=command)
        device_id = _device_id(ask)
        reply = await self._directory.call(user_id, lambda host: host.command(user_id, frame, device_id))
        if reply.error is not None:
            error = reply.error
            raise SegueError(error.code, error.message, error.details, error.retry_after_ms)
        return no_content()


def device_object(device: Device) -> DeviceObject:
    return DeviceObject(
        id=device.device_id,
        is_active=device.is_active,
        is_private_session=False,
        is_restricted=not device.capabilities.is_controllable,
        name=device.name,
        type=_TYPES[device.type],
        volume_percent=device.volume_percent,
        supports_volume=device.capabilities.volume_steps > 0,
    )


def _active(seen: Snapshot) -> Device | None:
    return next((device for device in seen.devices if device.is_active), None)


def _device_id(ask: Ask[Any, Any]) -> DeviceId | None:
    text = getattr(ask.params, "device_id", None)
    return DeviceId(text) if text else None
