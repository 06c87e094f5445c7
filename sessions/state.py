"""A listening session as one value. It is also the snapshot: msgpack of it is what is stored.

The context lane is derived, not held: `ContextRef` says which context, in which order and how far. What comes
next follows from it and the resolved `Context` (see `order.py`). Every tuple here has its bound beside it.
"""

import msgspec

from kernel.ids import CommandId, DeviceId, PlayId, SessionId, Uid, Uri, UserId
from kernel.units import Millis
from sessions.commands import Repeat
from sessions.inputs import ContextItem
from sessions.playhead import Playhead
from sessions.view import HandoffResult, QueueItem, QueueVersion, SleepTimer

QUEUE_MAX = 500
"""The user's lane. Full: QUEUE_FULL."""
AUTOPLAY_MAX = 30
"""Full: further candidates are left out."""
HISTORY_MAX = 50
PARKED_MAX = 5
UNDO_MAX = 20
UNDO_ITEMS_MAX = 1000
"""Items that all undo entries hold together; the oldest entries give way."""
EDITS_MAX = 20

QUEUE = "queue"
CONTEXT = "context"
AUTOPLAY = "autoplay"

Item = QueueItem
"""An item is stored as it is shown."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A place in a context."""

    key: str
    index: int
    """Where `key` was last seen in natural order. When a revision has lost it, what comes next is here."""
    iteration: int = 0


class Shuffle(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Which permutation. Each item's rank depends on its own key alone, so an insert moves nothing else."""

    seed: int
    pin: str | None = None
    """Key of the item that was current when shuffle was turned on: first of its iteration."""
    pin_iteration: int = 0


class ContextRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The context that plays, by reference."""

    uri: Uri | None = None
    """None for a list of tracks of the client's own, which is then held in `items`."""
    revision: str = ""
    load_id: str
    """Names this loading of it; the uids of its items derive from it."""
    cursor: Cursor | None = None
    """The item of it that was started last; None before the first."""
    shuffle: Shuffle | None = None
    """None is the natural order."""
    items: tuple[ContextItem, ...] = ()
    """At most `URIS_MAX`; empty when `uri` says what they are."""


class Played(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item that was left behind."""

    item: Item
    load_id: str | None = None
    """Of the context of that time. Going back stays within one loading."""
    cursor: Cursor | None = None
    """Where the context stood meanwhile."""
    error: str | None = None
    """Why it could not be played; None when it could."""


class Parked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a `play` replaced."""

    context: ContextRef | None = None
    current: Item | None = None
    position_ms: Millis = Millis(0)
    shuffle: bool = False
    autoplay: tuple[Item, ...] = ()


class Placement(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Put an item behind another of its lane; None is the front. `item.provider` names the lane."""

    item: Item
    after_uid: Uid | None


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the context is walked."""

    shuffle: bool = False
    repeat: Repeat = Repeat.OFF
    order: Shuffle | None = None
    """Which permutation; only meaningful for the loading it was made for."""
    load_id: str | None = None
    """That loading; None without a context."""


class Inverse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to take back one edit or option change: the opposite edit, or the options as they were."""

    actor_id: UserId | None = None
    take: tuple[Uid, ...] = ()
    put: tuple[Placement, ...] = ()
    options: Options | None = None


class Edit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of what happened to the queue, for who asks with an old version."""

    version: QueueVersion
    """After the edit."""
    op: str
    uids: tuple[Uid, ...] = ()
    """At most `URIS_MAX`."""


class StoredReply(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    command_id: CommandId
    reply: bytes
    at_ms: Millis


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    session_id: SessionId
    user_id: UserId
    created_at_ms: Millis
    seed: int
    """From which every shuffle of this session derives."""

    device_epoch: int = 0
    """+1 at each change of the active device; never back."""
    active_device_id: DeviceId | None = None
    """None also means that nothing plays."""

    playhead: Playhead = Playhead()
    current: Item | None = None
    """None exactly when stopped."""
    play_id: PlayId | None = None
    started_at_ms: Millis | None = None
    stop_reason: str | None = None
    """Why it stopped by itself: end_of_queue, nothing_playable, too_many_errors; None otherwise."""
    errors: int = 0
    """Items in a row that could not be played."""

    context: ContextRef | None = None
    queue: tuple[Item, ...] = ()
    autoplay: tuple[Item, ...] = ()
    history: tuple[Played, ...] = ()
    """Oldest first."""
    parked: tuple[Parked, ...] = ()
    """The last one is the one that `restore_queue` brings back."""

    queue_version: QueueVersion = QueueVersion()
    undo: tuple[Inverse, ...] = ()
    edits: tuple[Edit, ...] = ()
    shuffle: bool = False
    repeat: Repeat = Repeat.OFF
    sleep_timer: SleepTimer | None = None
    last_handoff: HandoffResult | None = None

    play_count: int = 0
    """Plays started so far."""
    minted: int = 0
    """Ids of items and loadings made so far."""
    replies: tuple[StoredReply, ...] = ()
    """Oldest first; see `replies.py`."""

    @property
    def duration_ms(self) -> Millis:
        return self.current.duration_ms if self.current is not None else Millis(0)


def new_session(session_id: SessionId, user_id: UserId, now_ms: Millis, seed: int) -> Session:
    return Session(session_id=session_id, user_id=user_id, created_at_ms=now_ms, seed=seed)
