"""`/v1/me/player`: the same live session that the sockets act on.

Every change is one command to the session's host, as a socket would send it; a refusal there is an error body
here. What the Web API leaves open is decided as on the socket: commands of one session are totally ordered.
"""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connect.frames import CommandFrame, Device, DeviceType, Snapshot
from kernel.errors import Code, Rejected, SegueError
from kernel.ids import CommandId, DeviceId, TrackId, Uri, parse_uri
from kernel.units import Millis
from serve.directory import Directory
from serve.rest.catalogue import CatalogueReader
from serve.rest.http import body_of, claims_of, integer, json_response, no_content, required
from serve.rest.shapes import (
    Actions,
    CurrentlyPlaying,
    DeviceObject,
    PlaybackState,
    QueueObject,
    Shapes,
    TrackObject,
)
from sessions.commands import (
    AddToQueue,
    Command,
    Pause,
    Play,
    Repeat,
    RestorePaused,
    Resume,
    SeekTo,
    SetRepeat,
    SetShuffle,
    SetVolume,
    SkipNext,
    SkipPrev,
    Transfer,
)
from sessions.view import PlayerState

READ = "user-read-playback-state"
READ_CURRENT = "user-read-currently-playing"
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


class Offset(msgspec.Struct, frozen=True, kw_only=True):
    position: int | None = None
    uri: Uri | None = None


class PlayBody(msgspec.Struct, frozen=True, kw_only=True):
    context_uri: Uri | None = None
    uris: tuple[Uri, ...] | None = None
    offset: Offset | None = None
    position_ms: int | None = None


class TransferBody(msgspec.Struct, frozen=True, kw_only=True):
    device_ids: tuple[DeviceId, ...]
    play: bool | None = None


class PlayerEndpoints:
    """The handlers. `mint_command_id` makes ids for commands whose client has none."""

    def __init__(
        self,
        directory: Directory,
        reader: CatalogueReader,
        shapes: Shapes,
        mint_command_id: Callable[[], CommandId],
    ) -> None:
        self._directory = directory
        self._reader = reader
        self._shapes = shapes
        self._mint_command_id = mint_command_id

    def routes(self) -> list[Route]:
        return [
            Route("/v1/me/player", self.playback_state, methods=["GET"]),
            Route("/v1/me/player", self.transfer, methods=["PUT"]),
            Route("/v1/me/player/devices", self.devices, methods=["GET"]),
            Route("/v1/me/player/currently-playing", self.currently_playing, methods=["GET"]),
            Route("/v1/me/player/queue", self.queue, methods=["GET"]),
            Route("/v1/me/player/queue", self.add_to_queue, methods=["POST"]),
            Route("/v1/me/player/play", self.play, methods=["PUT"]),
            *(
                Route(f"/v1/me/player/{name}", self._simple(build), methods=[method])
                for name, method, build in (
                    ("pause", "PUT", lambda _: Pause()),
                    ("next", "POST", lambda _: SkipNext()),
                    ("previous", "POST", lambda _: SkipPrev()),
                    ("seek", "PUT", _seek),
                    ("shuffle", "PUT", _shuffle),
                    ("repeat", "PUT", _repeat),
                    ("volume", "PUT", _volume),
                )
            ),
        ]

    # --- reading ------------------------------------------------------------------------------------

    async def playback_state(self, request: Request) -> Response:
        seen = await self._look(request, READ)
        device = _active(seen)
        if device is None:
            return no_content()
        current = await self._current(seen.player, claims_of(request).country)
        fields = {name: getattr(current, name) for name in current.__struct_fields__}
        return json_response(
            PlaybackState(
                device=device_object(device),
                repeat_state=seen.player.repeat.value,
                shuffle_state=seen.player.shuffle,
                **fields,
            )
        )

    async def currently_playing(self, request: Request) -> Response:
        seen = await self._look(request, READ, READ_CURRENT)
        if seen.player.track is None:
            return no_content()
        return json_response(await self._current(seen.player, claims_of(request).country))

    async def devices(self, request: Request) -> Response:
        seen = await self._look(request, READ)
        shown = [device_object(device) for device in seen.devices if device.capabilities.can_be_player]
        return json_response({"devices": shown})

    async def queue(self, request: Request) -> Response:
        player = (await self._look(request, READ, READ_CURRENT)).player
        uris = [item.uri for item in ((player.track,) if player.track else ()) + player.next_tracks]
        tracks = await self._tracks(uris, claims_of(request).country)
        current = tracks.pop(0) if player.track else None
        return json_response(
            QueueObject(
                currently_playing=current, queue=tuple(track for track in tracks if track is not None)
            )
        )

    async def _look(self, request: Request, *scopes: str) -> Snapshot:
        user_id = claims_of(request, *scopes).user_id
        return await self._directory.call(user_id, lambda host: host.look(user_id))

    async def _current(self, player: PlayerState, market: str) -> CurrentlyPlaying:
        item = (await self._tracks([player.track.uri], market))[0] if player.track else None
        elapsed = (self._reader.now_ms() - player.timestamp) * player.playback_speed
        progress = min(max(player.position_as_of_timestamp + elapsed, 0), player.duration)
        return CurrentlyPlaying(
            context=self._shapes.context(player.context_uri),
            timestamp=player.timestamp,
            progress_ms=Millis(int(progress)),
            is_playing=player.is_playing,
            item=item,
            currently_playing_type="track" if player.track else "unknown",
            actions=Actions(disallows={name: True for name in player.disallows if name in _WEB_API_ACTIONS}),
        )

    async def _tracks(self, uris: list[Uri], market: str) -> list[TrackObject | None]:
        parsed = [parse_uri(each) for each in uris]
        wanted = [TrackId(found[1] if found else "") for found in parsed]
        return await self._reader.track_objects(wanted, market=market)

    # --- changing -----------------------------------------------------------------------------------

    async def play(self, request: Request) -> Response:
        body = await body_of(request, PlayBody) or PlayBody()
        device_id = _device_id(request)
        if body.context_uri is None and not body.uris:
            await self._command(request, Resume(device_id=device_id))
            if body.position_ms is not None:
                await self._command(request, _checked(SeekTo, position_ms=body.position_ms))
            return no_content()
        offset = body.offset or Offset()
        command = _checked(
            Play,
            context_uri=body.context_uri,
            uris=body.uris or (),
            offset_uri=offset.uri,
            offset_index=offset.position,
            position_ms=body.position_ms or 0,
            device_id=device_id,
        )
        await self._command(request, command)
        return no_content()

    async def transfer(self, request: Request) -> Response:
        body = await body_of(request, TransferBody)
        if body is None or len(body.device_ids) != 1:
            raise Rejected(Code.BAD_REQUEST, "transfer rejected: device_ids must name exactly one device")
        restore = RestorePaused.RESUME if body.play else RestorePaused.RESTORE
        await self._command(request, Transfer(device_id=body.device_ids[0], restore_paused=restore))
        return no_content()

    async def add_to_queue(self, request: Request) -> Response:
        await self._command(request, _checked(AddToQueue, uris=(required(request, "uri"),)))
        return no_content()

    def _simple(self, build: Callable[[Request], Command]) -> Callable[[Request], Awaitable[Response]]:
        async def handler(request: Request) -> Response:
            await self._command(request, build(request))
            return no_content()

        return handler

    async def _command(self, request: Request, command: Command) -> None:
        user_id = claims_of(request, MODIFY).user_id
        frame = CommandFrame(command_id=self._mint_command_id(), command=command)
        device_id = _device_id(request)
        reply = await self._directory.call(user_id, lambda host: host.command(user_id, frame, device_id))
        if reply.error is not None:
            error = reply.error
            raise SegueError(error.code, error.message, error.details, error.retry_after_ms)


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


def _device_id(request: Request) -> DeviceId | None:
    text = request.query_params.get("device_id")
    return DeviceId(text) if text else None


def _checked(command: type[Command], **fields: object) -> Command:
    """The command, its bounds applied as on the socket. Raises Rejected BAD_REQUEST naming the field."""
    try:
        return msgspec.convert({"endpoint": command.__struct_config__.tag, **fields}, command)
    except msgspec.ValidationError as error:
        raise Rejected(Code.BAD_REQUEST, f"{command.__name__.lower()} rejected: {error}") from None


def _seek(request: Request) -> Command:
    return SeekTo(position_ms=Millis(integer(request, "position_ms", low=0, high=24 * 3600 * 1000)))


def _volume(request: Request) -> Command:
    return SetVolume(
        volume_percent=integer(request, "volume_percent", low=0, high=100), device_id=_device_id(request)
    )


def _shuffle(request: Request) -> Command:
    state = required(request, "state")
    if state not in ("true", "false"):
        raise Rejected(Code.BAD_REQUEST, f"state={state!r} rejected: it must be true or false")
    return SetShuffle(shuffle=state == "true")


def _repeat(request: Request) -> Command:
    state = required(request, "state")
    try:
        return SetRepeat(repeat=Repeat(state))
    except ValueError:
        raise Rejected(
            Code.BAD_REQUEST, f"state={state[:32]!r} rejected: it must be off, context or track"
        ) from None
