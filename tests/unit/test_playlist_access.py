"""Who may do what with a playlist, who is here, and whose peer is whose."""

from random import Random

import pytest

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId, UserId
from kernel.units import Millis
from playlists.access import (
    AcceptInvite,
    Access,
    AccessCommand,
    Ban,
    GiveAway,
    Leave,
    MakeInvite,
    RevokeInvite,
    Role,
    SetFlags,
    SetRole,
    Unban,
    apply,
    decide,
    invite_id_of,
    require,
)
from playlists.items import ItemId
from playlists.leases import LEASE_MS, LEASES_PER_DEVICE_MAX, Lease, checked, grant, revoke
from playlists.presence import INTERVAL_MS, SHOWN_MAX, TTL_MS, Presence, due, left, touched

ADA, BOB, EVE = UserId("ada"), UserId("bob"), UserId("eve")
NOW = Millis(1_760_000_000_000)
TOKEN = "t" * 32


def after(access: Access, command: AccessCommand, *, by: UserId = ADA, now_ms: int = NOW) -> Access:
    for event in decide(access, command, by=by, now_ms=Millis(now_ms)):
        access = apply(access, event)
    return access


def code_of(access: Access, command: AccessCommand, *, by: UserId = ADA, now_ms: int = NOW) -> Code:
    with pytest.raises(Rejected) as caught:
        decide(access, command, by=by, now_ms=Millis(now_ms))
    return caught.value.code


def test_a_private_list_does_not_exist_for_strangers() -> None:
    access = Access(owner=ADA, public=False)
    with pytest.raises(Rejected, match="NOT_FOUND"):
        require(access, EVE, Role.VIEWER, "open")
    with pytest.raises(Rejected, match="FORBIDDEN"):
        require(Access(owner=ADA), EVE, Role.CONTRIBUTOR, "push")
    require(access, ADA, Role.OWNER, "open")


def test_flags_open_the_list_and_a_ban_closes_it_for_one() -> None:
    access = after(Access(owner=ADA, public=False), SetFlags(collaborative=True))
    assert access.role_of(EVE) is Role.CONTRIBUTOR
    access = after(access, Ban(user_id=EVE))
    assert access.role_of(EVE) is Role.NONE
    assert code_of(access, SetRole(user_id=EVE, role=Role.EDITOR)) is Code.FORBIDDEN
    assert after(access, Unban(user_id=EVE)).role_of(EVE) is Role.CONTRIBUTOR


def test_an_invite_gives_its_role_until_it_expires_is_used_up_or_revoked() -> None:
    access = after(Access(owner=ADA, public=False), MakeInvite(token=TOKEN, ttl_ms=Millis(1000), uses=1))
    assert TOKEN not in repr(access)
    joined = after(access, AcceptInvite(token=TOKEN), by=BOB, now_ms=NOW + 999)
    assert joined.role_of(BOB) is Role.CONTRIBUTOR
    assert code_of(joined, AcceptInvite(token=TOKEN), by=EVE) is Code.INVITE_EXPIRED
    assert code_of(access, AcceptInvite(token=TOKEN), by=EVE, now_ms=NOW + 1000) is Code.INVITE_EXPIRED
    assert code_of(access, AcceptInvite(token="u" * 32), by=EVE) is Code.NOT_FOUND
    revoked = after(access, RevokeInvite(invite_id=invite_id_of(TOKEN)))
    assert code_of(revoked, AcceptInvite(token=TOKEN), by=EVE) is Code.NOT_FOUND
    banned = after(access, Ban(user_id=EVE))
    assert code_of(banned, AcceptInvite(token=TOKEN), by=EVE) is Code.NOT_FOUND


def test_an_invite_never_makes_a_role_smaller() -> None:
    access = after(Access(owner=ADA), SetRole(user_id=BOB, role=Role.EDITOR))
    access = after(access, MakeInvite(token=TOKEN))
    assert decide(access, AcceptInvite(token=TOKEN), by=BOB, now_ms=NOW) == []


@pytest.mark.parametrize(
    "command",
    [
        SetRole(user_id=EVE, role=Role.EDITOR),
        SetFlags(public=False),
        MakeInvite(token=TOKEN),
        Ban(user_id=BOB),
        GiveAway(user_id=EVE),
    ],
)
def test_only_the_owner_administers(command: AccessCommand) -> None:
    access = after(Access(owner=ADA), SetRole(user_id=EVE, role=Role.EDITOR))
    assert code_of(access, command, by=EVE) is Code.FORBIDDEN


def test_ownership_changes_by_giving_it_away_alone() -> None:
    access = Access(owner=ADA)
    assert code_of(access, SetRole(user_id=BOB, role=Role.OWNER)) is Code.BAD_REQUEST
    assert code_of(access, Ban(user_id=ADA)) is Code.FORBIDDEN
    given = after(access, GiveAway(user_id=BOB))
    assert (given.owner, given.role_of(ADA)) == (BOB, Role.EDITOR)
    assert after(given, Leave(), by=ADA).role_of(ADA) is Role.VIEWER


def test_each_event_counts_the_revision() -> None:
    access = after(Access(owner=ADA), SetRole(user_id=BOB, role=Role.EDITOR))
    assert access.revision == 1
    assert after(access, SetRole(user_id=BOB, role=Role.EDITOR)).revision == 1


# --- leases -----------------------------------------------------------------------------------------------


def granted(
    leases: dict[int, Lease], user: UserId = BOB, *, now_ms: int = NOW
) -> tuple[Lease, dict[int, Lease]]:
    rng = Random(len(leases) + now_ms)
    return grant(leases, user_id=user, device_id=DeviceId("phone"), known={}, rng=rng, now_ms=Millis(now_ms))


def test_a_peer_is_good_for_its_user_device_and_time_alone() -> None:
    lease, leases = granted({})
    phone = DeviceId("phone")
    assert checked(leases, lease.peer, user_id=BOB, device_id=phone, now_ms=NOW) == lease
    late = Millis(NOW + LEASE_MS)
    for user, device, now_ms, held in (
        (EVE, phone, NOW, leases),
        (BOB, DeviceId("other"), NOW, leases),
        (BOB, phone, late, leases),
        (BOB, phone, NOW, revoke(leases, lease.peer)),
        (BOB, phone, NOW, {}),
    ):
        with pytest.raises(Rejected, match="PEER_INVALID") as caught:
            checked(held, lease.peer, user_id=user, device_id=device, now_ms=now_ms)
        assert caught.value.details["way_on"] == "new_lease"


def test_a_device_holds_few_leases_and_old_ones_go() -> None:
    leases: dict[int, Lease] = {}
    for at in range(LEASES_PER_DEVICE_MAX + 3):
        newest, leases = granted(leases, now_ms=NOW + at)
    assert len(leases) == LEASES_PER_DEVICE_MAX
    assert newest.peer in leases
    assert len(granted(leases, now_ms=NOW + LEASE_MS + 100)[1]) == 1


# --- presence ---------------------------------------------------------------------------------------------


def here(presence: Presence, editor: str, *, now_ms: int, item: str | None = None) -> Presence:
    return touched(
        presence, editor_id=editor, user_id=BOB, item_id=item, doing="dragging", now_ms=Millis(now_ms)
    )


def test_presence_is_told_at_most_ten_times_a_second_and_fades() -> None:
    presence = here(Presence(), "one", now_ms=NOW, item="0" * 16)
    presence, view = due(presence, now_ms=NOW)
    assert view is not None
    assert view.here[0].item_id == ItemId("0" * 16)
    presence = here(presence, "one", now_ms=NOW + 5, item="1" * 16)
    presence, view = due(presence, now_ms=Millis(NOW + 5))
    assert view is None
    presence, view = due(presence, now_ms=Millis(NOW + INTERVAL_MS))
    assert view is not None
    presence, view = due(presence, now_ms=Millis(NOW + 5 + TTL_MS))
    assert view is not None
    assert view.count == 0


def test_a_sign_of_life_that_changes_nothing_is_not_told() -> None:
    presence, _ = due(here(Presence(), "one", now_ms=NOW), now_ms=NOW)
    assert due(here(presence, "one", now_ms=NOW + 1000), now_ms=Millis(NOW + 1000))[1] is None


def test_a_crowd_is_only_counted_and_nonsense_is_no_item() -> None:
    presence = Presence()
    for at in range(SHOWN_MAX + 1):
        presence = here(presence, f"e{at}", now_ms=NOW, item="nonsense")
    view = due(presence, now_ms=NOW)[1]
    assert view is not None
    assert (view.count, view.here) == (SHOWN_MAX + 1, ())
    view = due(left(presence, "e0"), now_ms=NOW)[1]
    assert view is not None
    assert len(view.here) == SHOWN_MAX
    assert {one.item_id for one in view.here} == {None}
