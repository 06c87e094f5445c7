"""Peer ids on loan: a device may write operations only under the peer that the server lent it.

Loro authenticates nothing, and two authors under one peer id differ for ever with equal version vectors. So
the server mints every peer, binds it to a user and a device, and takes it away at the first refused push:
the refused operations leave a hole in that peer's line, behind which nothing can be merged.
"""

from collections.abc import Mapping
from random import Random

import msgspec
from msgspec.structs import replace

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId, UserId
from kernel.units import Millis
from playlists.loro_doc import PEER_MAX, Peer

LEASE_MS = Millis(30 * 86_400_000)
"""The offline window: edits made under a lease are taken for this long."""
CLOCK_SLACK_MS = Millis(300_000)
"""How far a device's clock may be ahead, or behind its lease."""
LEASES_MAX = 5_000
LEASES_PER_DEVICE_MAX = 8
"""Tabs of one browser share its device id; the oldest loses its lease."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One loan. Kept in the store beside the playlist."""

    peer: Peer
    user_id: UserId
    device_id: DeviceId
    leased_at_ms: Millis
    expires_at_ms: Millis
    revoked: bool = False


Leases = Mapping[int, Lease]


def mint(taken: Mapping[int, object], rng: Random) -> Peer:
    """A peer id that is neither lent nor known to the document."""
    while True:
        peer = Peer(rng.randrange(1, PEER_MAX))
        if peer not in taken:
            return peer


def grant(
    leases: Leases,
    *,
    user_id: UserId,
    device_id: DeviceId,
    known: Mapping[int, object],
    rng: Random,
    now_ms: Millis,
) -> tuple[Lease, dict[int, Lease]]:
    """A new lease, and all leases with it; those that ran out are gone. `known` are the document's peers."""
    live = {peer: lease for peer, lease in leases.items() if lease.expires_at_ms > now_ms}
    own = sorted(
        (lease for lease in live.values() if (lease.user_id, lease.device_id) == (user_id, device_id)),
        key=lambda lease: lease.leased_at_ms,
    )
    for lease in own[: max(0, len(own) - LEASES_PER_DEVICE_MAX + 1)]:
        live.pop(lease.peer)
    if len(live) >= LEASES_MAX:
        raise Rejected(
            Code.BUSY, f"lease rejected: {LEASES_MAX} devices edit this playlist", None, Millis(60_000)
        )
    peer = mint({**dict.fromkeys(known), **live}, rng)
    lease = Lease(
        peer=peer,
        user_id=user_id,
        device_id=device_id,
        leased_at_ms=now_ms,
        expires_at_ms=Millis(now_ms + LEASE_MS),
    )
    return lease, {**live, peer: lease}


def revoke(leases: Leases, peer: int) -> dict[int, Lease]:
    """The lease stays known, so that a late push gets an answer that helps."""
    return {at: replace(lease, revoked=True) if at == peer else lease for at, lease in leases.items()}


def checked(leases: Leases, peer: int, *, user_id: UserId, device_id: DeviceId, now_ms: Millis) -> Lease:
    """The lease under which `peer` may write for this device now. Raises Rejected PEER_INVALID."""
    lease = leases.get(peer)
    if lease is None or (lease.user_id, lease.device_id) != (user_id, device_id):
        # One answer for both: whose peer it is concerns nobody else.
        raise Rejected(Code.PEER_INVALID, f"push rejected: peer {peer} is not lent to this device", WAY_ON)
    if lease.revoked:
        raise Rejected(
            Code.PEER_INVALID, f"push rejected: peer {peer} was taken back after a refusal", WAY_ON
        )
    if lease.expires_at_ms <= now_ms:
        raise Rejected(Code.PEER_INVALID, f"push rejected: the loan of peer {peer} has run out", WAY_ON)
    return lease


WAY_ON: Mapping[str, object] = {"way_on": "new_lease"}
"""Open the playlist again, take the new peer, and make the unacknowledged edits anew under it."""
