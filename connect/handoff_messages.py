"""What goes into a handoff and what comes out: the inputs and effects of `connect.handoff`."""

import msgspec

from connect import frames
from kernel.errors import Code
from kernel.ids import DeviceId
from kernel.units import Millis

# --- inputs -----------------------------------------------------------------------------------------


class TransferAsked(msgspec.Struct, frozen=True, kw_only=True):
    asker: str
    to_device_id: DeviceId


class TargetReady(msgspec.Struct, frozen=True, kw_only=True):
    start_delay_ms: int
    attempt: int | None = None
    """Which prepare is answered; None is the latest."""


class TargetRefused(msgspec.Struct, frozen=True, kw_only=True):
    reason: str


class TargetLost(msgspec.Struct, frozen=True, kw_only=True):
    """Its socket broke, or it said goodbye."""


class SourceLost(msgspec.Struct, frozen=True, kw_only=True):
    """Its socket broke, or it said goodbye."""


class SourceReturned(msgspec.Struct, frozen=True, kw_only=True):
    """It said hello again."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Another item plays, or from another position, or it was paused or resumed (the latter is what the
    listener wants last, so it also says whether the target will play)."""

    is_playing: bool
    speed: float = 1.0


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is left to hand over."""


class ActiveChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The session's device epoch grew, and not by this handoff."""


class CommitDone(msgspec.Struct, frozen=True, kw_only=True):
    failed: Code | None = None
    """None: the target is the active device, and that is durable."""
    playing: bool | None = None
    """What the session says after it; None is what was asked for."""


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    device_id: DeviceId
    at_ms: float
    position_ms: float


class DeadlineReached(msgspec.Struct, frozen=True, kw_only=True):
    """A `WakeAt` has come. Too early or out of date, it changes nothing."""


Input = (
    TransferAsked
    | TargetReady
    | TargetRefused
    | TargetLost
    | SourceLost
    | SourceReturned
    | Changed
    | Stopped
    | ActiveChanged
    | CommitDone
    | Switched
    | DeadlineReached
)


# --- effects ----------------------------------------------------------------------------------------


class SendPrepare(msgspec.Struct, frozen=True, kw_only=True):
    """To the target, with the session's state and a lease made for it."""

    attempt: int
    will_play: bool
    deadline_at_ms: Millis


class AskCommit(msgspec.Struct, frozen=True, kw_only=True):
    """Give `sessions.inputs.CommitHandoff` to the session; its outcome comes back as `CommitDone`."""

    start_at_ms: Millis
    playing: bool
    if_device_epoch: int


class SendSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """To the target and, when `to_source`, to the source. The position is the session's at that instant."""

    start_at_ms: Millis
    playing: bool
    to_source: bool


class SendAbort(msgspec.Struct, frozen=True, kw_only=True):
    """To the target."""

    reason: str


class AnswerTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome, for one asker."""

    asker: str
    code: Code | None = None
    """None is ok."""
    message: str = ""
    result: dict[str, object] = {}
    """Of an ok; of a refusal its details."""
    retry_after_ms: Millis | None = None


class AskPlayback(msgspec.Struct, frozen=True, kw_only=True):
    """Resume or pause: a transfer to the device that is active already asked for it."""

    playing: bool


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """For the session (`HandoffMeasured`), the log and the metric."""

    gap_ms: float
    jump_ms: float


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Show this to every device of the user."""

    view: frames.Handoff


class WakeAt(msgspec.Struct, frozen=True, kw_only=True):
    """Come back with `DeadlineReached`; the latest one counts."""

    at_ms: Millis


Effect = (
    SendPrepare
    | AskCommit
    | SendSwitch
    | SendAbort
    | AnswerTransfer
    | AskPlayback
    | Measured
    | Publish
    | WakeAt
)
