"""A session under test: does by decide and apply what the shell does, and keeps the log as bytes."""

from collections.abc import Iterable
from typing import Any

import msgspec

from kernel.ids import DeviceId, SessionId, Uid, Uri, UserId
from kernel.units import Millis
from sessions.apply import apply
from sessions.commands import AddToQueue, Play, RestoreQueue, SessionCommand
from sessions.decide import decide
from sessions.events import Event, PlayheadNoted, is_durable
from sessions.inputs import Candidate, Context, ContextItem, Input, Reported, World
from sessions.order import items_of, next_items, prev_items
from sessions.own_context import own_context, parked_context
from sessions.playhead import position_ms
from sessions.project import player_state
from sessions.record import Record, decode_record, encode_record
from sessions.state import ContextRef, Session, new_session
from sessions.view import PlayerState, Reason

START_MS = Millis(1_790_000_000_000)
TRACK_MS = Millis(200_000)
USER = UserId("ada")
KITCHEN = DeviceId("kitchen-speaker")
PHONE = DeviceId("phone-of-ada")
ALBUM = Uri("spotify:album:one")
OTHER_ALBUM = Uri("spotify:album:two")


def track(name: str) -> Uri:
    return Uri(f"spotify:track:{name}")


def an_item(key: str, *, playable: bool = True, speech: bool = False, uri: Uri | None = None) -> ContextItem:
    return ContextItem(
        key=key, uri=uri or track(key), duration_ms=TRACK_MS, is_speech=speech, playable=playable
    )


def a_context(keys: Iterable[str], *, uri: Uri | None = ALBUM, revision: str = "1") -> Context:
    """One item per word of `keys`; one that ends in `!` may not be played, one that ends in `?` is speech."""
    items = tuple(
        an_item(key.rstrip("!?"), uri=track(key), playable=not key.endswith("!"), speech=key.endswith("?"))
        for key in keys
    )
    return Context(uri=uri, revision=revision, items=items)


def a_candidate(name: str) -> Candidate:
    reason = Reason(kind="same_artist", text="More by the same", seed_uris=(track("a"),))
    return Candidate(uri=track(name), duration_ms=TRACK_MS, reason=reason)


class Listening:
    """A session, a clock moved by hand, and the contexts that exist."""

    def __init__(self, *contexts: Context, seed: int = 7) -> None:
        self.contexts = {context.uri: context for context in contexts}
        self.now_ms = START_MS
        self.first = new_session(SessionId("session-1"), USER, START_MS, seed)
        self.session = self.first
        self.log: list[bytes] = []
        """Every event."""
        self.short_log: list[bytes] = []
        """As it is stored."""
        self.sounding: DeviceId | None = KITCHEN
        """The device that a `play` without an active device would take."""
        self._own: Context | None = None

    def do(
        self,
        command: SessionCommand | Input,
        *,
        device_id: DeviceId | None = None,
        after_ms: int = 0,
        **world: Any,
    ) -> list[Event]:
        """Let `after_ms` pass, then one turn. The events have been through their stored form."""
        self.now_ms = Millis(self.now_ms + after_ms)
        lent = {"context": self.context, "actor_id": USER, "device_id": device_id or self.sounding}
        match command:
            case Play(context_uri=uri) if uri is not None:
                lent["target"] = self.contexts.get(uri)
            case Play(uris=uris) | AddToQueue(uris=uris):
                lent["target"] = _of_tracks(uris)
            case RestoreQueue():
                lent["parked"] = self.resolve(parked_context(self.session))
            case _:
                pass
        events = decide(self.session, command, World(**{**lent, **world}), now_ms=self.now_ms)
        self._write(events)
        data = encode_record(Record(events=tuple(events), at_ms=self.now_ms))
        for event in decode_record(data).events:
            self.session = apply(self.session, event)
        self.log.append(data)
        return events

    def _write(self, events: list[Event]) -> None:
        """As the shell writes: what is volatile joins the log with the next durable record, as one value."""
        if any(is_durable(event) for event in events):
            noted = PlayheadNoted(playhead=self.session.playhead)
            self.short_log.append(encode_record(Record(events=(noted, *events), at_ms=self.now_ms)))

    def resolve(self, ref: ContextRef | None) -> Context | None:
        if ref is None:
            return None
        if ref.uri is not None:
            return self.contexts.get(ref.uri)
        if self._own is None or self._own.items is not ref.items:
            self._own = own_context(ref)
        return self._own

    @property
    def context(self) -> Context | None:
        return self.resolve(self.session.context)

    @property
    def state(self) -> PlayerState:
        return player_state(self.session, self.context, now_ms=self.now_ms)

    @property
    def position(self) -> int:
        return position_ms(self.session.playhead, duration_ms=self.session.duration_ms, now_ms=self.now_ms)

    @property
    def playing(self) -> str | None:
        """Name of the current track; None when stopped."""
        return _name(self.session.current.uri) if self.session.current is not None else None

    @property
    def uid(self) -> Uid:
        assert self.session.current is not None
        return self.session.current.uid

    @property
    def coming(self) -> list[str]:
        return [_name(item.uri) for item in next_items(self.session, self.context, 20)]

    @property
    def behind(self) -> list[str]:
        return [_name(item.uri) for item in prev_items(self.session, self.context, 20)]

    @property
    def queued(self) -> list[str]:
        return [_name(item.uri) for item in self.session.queue]

    @property
    def natural(self) -> list[str]:
        """The context that plays, as it is."""
        assert self.session.context is not None
        return [_name(item.uri) for item in items_of(self.session.context, self.context)]

    def report(self, state: str, position: int, **changes: Any) -> Reported:
        """What the active device would say now."""
        assert self.session.play_id is not None
        said = Reported(
            device_id=self.session.active_device_id or KITCHEN,
            device_epoch=self.session.device_epoch,
            play_id=self.session.play_id,
            playhead_version=self.session.playhead.version,
            state=state,
            position_ms=Millis(position),
            measured_at_ms=self.now_ms,
        )
        return msgspec.structs.replace(said, **changes)

    def replayed(self, log: list[bytes]) -> Session:
        """The session that the log alone gives."""
        session = self.first
        for data in log:
            for event in decode_record(data).events:
                session = apply(session, event)
        return session


def _of_tracks(uris: Iterable[Uri]) -> Context:
    """As the shell resolves them; `!` and `?` as in `a_context`."""
    seen: dict[str, int] = {}
    items = []
    for uri in uris:
        name = _name(uri)
        seen[name] = nth = seen.get(name, 0) + 1
        items.append(
            an_item(
                name if nth == 1 else f"{name}#{nth}",
                uri=uri,
                playable=not name.endswith("!"),
                speech=name.endswith("?"),
            )
        )
    return Context(uri=None, revision="", items=tuple(items))


def _name(uri: Uri) -> str:
    return uri.rpartition(":")[2]
