"""Whether a transfer is possible, and what it would be like: the dry run, and the check before a real one."""

from collections.abc import Mapping

import msgspec

from catalog.model import Codec
from connect.device_set import DeviceSet, Known, transfer_reasons
from connect.handoff import RTT_MS_UNKNOWN
from kernel.errors import Code, Disallowed, Rejected
from kernel.ids import DeviceId

ACTION = "transferring_playback"
COLD_START_MS = 400.0
"""Lease, first segment and decoder of a target that cannot prepare, beside its round trips."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What the session has for the target."""

    has_item: bool
    is_playing: bool
    will_play: bool
    codecs: frozenset[Codec] | None = None
    """Of the current item; None when nothing is current."""
    disallows: Mapping[str, tuple[str, ...]] = {}
    """Of the player state."""
    codec: Codec | None = None
    """Of the rendition that would be chosen for the target; None when there is none."""
    bitrate_kbps: int | None = None


def refusal(
    devices: DeviceSet,
    offer: Offer,
    *,
    to_device_id: DeviceId,
    active_device_id: DeviceId | None,
    sender_id: DeviceId | None,
) -> Rejected | None:
    """Why the transfer cannot begin, as the error of its reply; None when it can."""
    target = devices.devices.get(to_device_id)
    if target is None:
        return Rejected(
            Code.DEVICE_UNAVAILABLE, f"a transfer to {to_device_id} was asked for; there is no such device"
        )
    reasons = _reasons(target, offer, active_device_id=active_device_id, sender_id=sender_id)
    if "offline" in reasons:
        return Rejected(
            Code.DEVICE_UNAVAILABLE,
            f"a transfer to {to_device_id} was asked for; it is not connected",
            {"reasons": list(reasons)},
        )
    return Disallowed(ACTION, reasons) if reasons else None


def plan(
    devices: DeviceSet,
    offer: Offer,
    *,
    to_device_id: DeviceId,
    active_device_id: DeviceId | None,
    sender_id: DeviceId | None,
    in_progress: bool,
) -> dict[str, object]:
    """The `result` of a transfer with `plan`: nothing is changed, nobody is told.

    `expected_gap_ms` is None when nothing would be heard to stop or start.
    """
    target = devices.devices.get(to_device_id)
    if target is None:
        return {
            "possible": False,
            "reasons": ["unknown_device"],
            "codec": None,
            "bitrate_kbps": None,
            "expected_gap_ms": None,
            "volume_percent": None,
        }
    reasons = list(_reasons(target, offer, active_device_id=active_device_id, sender_id=sender_id))
    if in_progress:
        reasons.append("handoff_in_progress")
    return {
        "possible": not reasons,
        "reasons": reasons,
        "already_active": to_device_id == active_device_id,
        "codec": offer.codec,
        "bitrate_kbps": offer.bitrate_kbps,
        "expected_gap_ms": _expected_gap_ms(target, offer, is_active=to_device_id == active_device_id),
        "volume_percent": 0 if target.muted else target.volume_percent,
    }


def _reasons(
    target: Known, offer: Offer, *, active_device_id: DeviceId | None, sender_id: DeviceId | None
) -> tuple[str, ...]:
    target_id = target.info.device_id
    reasons = transfer_reasons(target, offer.codecs)
    if not target.info.capabilities.is_controllable and sender_id != target_id:
        reasons += ("not_controllable",)
    if target_id == active_device_id:
        return reasons
    return reasons + tuple(offer.disallows.get(ACTION, ()))


def _expected_gap_ms(target: Known, offer: Offer, *, is_active: bool) -> float | None:
    if is_active or not offer.has_item or not (offer.is_playing and offer.will_play):
        return None
    if target.info.capabilities.supports_prepare:
        return 0.0
    return COLD_START_MS + 2 * (RTT_MS_UNKNOWN if target.rtt_ms is None else target.rtt_ms)
