"""Who may do what with a playlist: roles, flags, invites that expire, bans. Kept outside the document.

An edit made offline could otherwise bring back a role that was taken away. `decide` and `apply` as in
`sessions`: decide raises Rejected and changes nothing, apply never raises. Expiry is judged here, by the time
given, never by the store.

    viewer < contributor < editor < owner      contributor: adds, and moves or removes what is his own
                                               editor: also others' items, and the details
                                               owner: also policies, roles, invites, bans
"""

from collections.abc import Mapping
from enum import IntEnum
from hashlib import blake2b
from typing import assert_never

import msgspec
from msgspec.structs import replace

from kernel.errors import Code, Rejected
from kernel.ids import UserId
from kernel.units import Millis

INVITE_TTL_MAX_MS = Millis(30 * 86_400_000)
INVITE_TTL_MS = Millis(7 * 86_400_000)
INVITE_USES_MAX = 1_000
INVITES_MAX = 100
MEMBERS_MAX = 5_000
BANS_MAX = 5_000


class Role(IntEnum):
    """Each may do all that a smaller one may."""

    NONE = 0
    VIEWER = 1
    CONTRIBUTOR = 2
    EDITOR = 3
    OWNER = 4


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever holds the token gets the role, until it expires or is used up."""

    invite_id: str
    """Hash of the token: the token itself is shown once and kept nowhere."""
    role: Role
    expires_at_ms: Millis
    uses_left: int
    made_by: UserId


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The state. `revision` counts events."""

    owner: UserId
    public: bool = True
    """Everybody may look."""
    collaborative: bool = False
    """Everybody who may look may contribute."""
    members: Mapping[UserId, Role] = {}
    invites: Mapping[str, Invite] = {}
    bans: frozenset[UserId] = frozenset()
    revision: int = 0

    def role_of(self, user_id: UserId) -> Role:
        if user_id == self.owner:
            return Role.OWNER
        if user_id in self.bans:
            return Role.NONE
        everybody = Role.NONE
        if self.public:
            everybody = Role.VIEWER
        if self.collaborative:
            everybody = Role.CONTRIBUTOR
        return max(self.members.get(user_id, Role.NONE), everybody)


# --- commands --------------------------------------------------------------------------------------------


class SetRole(msgspec.Struct, frozen=True, kw_only=True, tag="access.set_role"):
    user_id: UserId
    role: Role
    """NONE takes the membership away."""


class SetFlags(msgspec.Struct, frozen=True, kw_only=True, tag="access.set_flags"):
    public: bool | None = None
    collaborative: bool | None = None
    """None leaves it as it is."""


class MakeInvite(msgspec.Struct, frozen=True, kw_only=True, tag="access.make_invite"):
    token: str
    """32 characters or more from a source of secrets, made by the caller."""
    role: Role = Role.CONTRIBUTOR
    ttl_ms: Millis = INVITE_TTL_MS
    uses: int = INVITE_USES_MAX


class RevokeInvite(msgspec.Struct, frozen=True, kw_only=True, tag="access.revoke_invite"):
    invite_id: str


class AcceptInvite(msgspec.Struct, frozen=True, kw_only=True, tag="access.accept_invite"):
    token: str


class Ban(msgspec.Struct, frozen=True, kw_only=True, tag="access.ban"):
    user_id: UserId


class Unban(msgspec.Struct, frozen=True, kw_only=True, tag="access.unban"):
    user_id: UserId


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag="access.leave"):
    """The member gives his role up."""


class GiveAway(msgspec.Struct, frozen=True, kw_only=True, tag="access.give_away"):
    """Another becomes the owner; the former one stays as an editor."""

    user_id: UserId


AccessCommand = SetRole | SetFlags | MakeInvite | RevokeInvite | AcceptInvite | Ban | Unban | Leave | GiveAway


# --- events ----------------------------------------------------------------------------------------------


class RoleSet(msgspec.Struct, frozen=True, kw_only=True, tag="access.role_set"):
    user_id: UserId
    role: Role


class FlagsSet(msgspec.Struct, frozen=True, kw_only=True, tag="access.flags_set"):
    public: bool
    collaborative: bool


class InviteMade(msgspec.Struct, frozen=True, kw_only=True, tag="access.invite_made"):
    invite: Invite
    expired: tuple[str, ...] = ()
    """Invites that had run out, dropped on this occasion."""


class InviteRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="access.invite_revoked"):
    invite_id: str


class InviteAccepted(msgspec.Struct, frozen=True, kw_only=True, tag="access.invite_accepted"):
    invite_id: str
    user_id: UserId
    role: Role


class Banned(msgspec.Struct, frozen=True, kw_only=True, tag="access.banned"):
    user_id: UserId


class Unbanned(msgspec.Struct, frozen=True, kw_only=True, tag="access.unbanned"):
    user_id: UserId


class GivenAway(msgspec.Struct, frozen=True, kw_only=True, tag="access.given_away"):
    user_id: UserId


AccessEvent = RoleSet | FlagsSet | InviteMade | InviteRevoked | InviteAccepted | Banned | Unbanned | GivenAway


def invite_id_of(token: str) -> str:
    return blake2b(token.encode(), digest_size=16, person=b"segue-invite").hexdigest()


def require(access: Access, user_id: UserId, role: Role, what: str) -> None:
    """Raises Rejected: NOT_FOUND for whoever may not even look, FORBIDDEN otherwise."""
    has = access.role_of(user_id)
    if has >= role:
        return
    if has is Role.NONE:
        raise Rejected(Code.NOT_FOUND, f"{what} rejected: there is no such playlist, or you may not see it")
    raise Rejected(
        Code.FORBIDDEN, f"{what} rejected: needs the role {role.name.lower()}, yours is {has.name.lower()}"
    )


def decide(access: Access, command: AccessCommand, *, by: UserId, now_ms: Millis) -> list[AccessEvent]:
    """What the command comes to; nothing when it is so already. Raises Rejected."""
    match command:
        case AcceptInvite():
            return _accepted(access, command, by, now_ms)
        case Leave():
            return [RoleSet(user_id=by, role=Role.NONE)] if by in access.members else []
        case _:
            require(access, by, Role.OWNER, _name_of(command))
    match command:
        case SetRole():
            return _role_set(access, command)
        case SetFlags():
            public = access.public if command.public is None else command.public
            open_to_all = access.collaborative if command.collaborative is None else command.collaborative
            if (public, open_to_all) == (access.public, access.collaborative):
                return []
            return [FlagsSet(public=public, collaborative=open_to_all)]
        case MakeInvite():
            return _invite_made(access, command, by, now_ms)
        case RevokeInvite():
            if command.invite_id not in access.invites:
                raise Rejected(Code.NOT_FOUND, "revoke rejected: there is no such invite")
            return [InviteRevoked(invite_id=command.invite_id)]
        case Ban():
            if command.user_id == access.owner:
                raise Rejected(Code.FORBIDDEN, "ban rejected: the owner cannot be banned")
            if command.user_id in access.bans:
                return []
            _room(len(access.bans), BANS_MAX, "bans")
            return [Banned(user_id=command.user_id)]
        case Unban():
            return [Unbanned(user_id=command.user_id)] if command.user_id in access.bans else []
        case GiveAway():
            if command.user_id in access.bans:
                raise Rejected(Code.FORBIDDEN, "give_away rejected: that user is banned")
            return [] if command.user_id == access.owner else [GivenAway(user_id=command.user_id)]
        case _:
            assert_never(command)


def _name_of(command: AccessCommand) -> str:
    return str(type(command).__struct_config__.tag).removeprefix("access.")


def _room(count: int, count_max: int, what: str) -> None:
    if count >= count_max:
        raise Rejected(Code.BUSY, f"rejected: a playlist has at most {count_max} {what}")


def _role_set(access: Access, command: SetRole) -> list[AccessEvent]:
    if command.user_id == access.owner or command.role is Role.OWNER:
        raise Rejected(Code.BAD_REQUEST, "set_role rejected: the owner changes by give_away alone")
    if access.members.get(command.user_id, Role.NONE) == command.role:
        return []
    if command.user_id in access.bans and command.role is not Role.NONE:
        raise Rejected(Code.FORBIDDEN, "set_role rejected: that user is banned")
    if command.user_id not in access.members:
        _room(len(access.members), MEMBERS_MAX, "members")
    return [RoleSet(user_id=command.user_id, role=command.role)]


def _invite_made(access: Access, command: MakeInvite, by: UserId, now_ms: Millis) -> list[AccessEvent]:
    if len(command.token) < 32 or not 0 < command.ttl_ms <= INVITE_TTL_MAX_MS:
        raise Rejected(Code.BAD_REQUEST, "make_invite rejected: token too short or time out of range")
    if not 0 < command.uses <= INVITE_USES_MAX or not Role.NONE < command.role < Role.OWNER:
        raise Rejected(Code.BAD_REQUEST, "make_invite rejected: uses or role out of range")
    expired = tuple(key for key, invite in access.invites.items() if invite.expires_at_ms <= now_ms)
    _room(len(access.invites) - len(expired), INVITES_MAX, "invites")
    invite = Invite(
        invite_id=invite_id_of(command.token),
        role=command.role,
        expires_at_ms=Millis(now_ms + command.ttl_ms),
        uses_left=command.uses,
        made_by=by,
    )
    return [InviteMade(invite=invite, expired=expired)]


def _accepted(access: Access, command: AcceptInvite, by: UserId, now_ms: Millis) -> list[AccessEvent]:
    invite = access.invites.get(invite_id_of(command.token))
    if invite is None or by in access.bans:
        # A banned user learns no more than one with a wrong token.
        raise Rejected(Code.NOT_FOUND, "accept_invite rejected: there is no such invite")
    if invite.expires_at_ms <= now_ms or invite.uses_left <= 0:
        raise Rejected(Code.INVITE_EXPIRED, "accept_invite rejected: the invite has run out")
    if by == access.owner or access.members.get(by, Role.NONE) >= invite.role:
        return []
    if by not in access.members:
        _room(len(access.members), MEMBERS_MAX, "members")
    return [InviteAccepted(invite_id=invite.invite_id, user_id=by, role=invite.role)]


def apply(access: Access, event: AccessEvent) -> Access:
    access = replace(access, revision=access.revision + 1)
    match event:
        case RoleSet():
            return replace(access, members=_with(access.members, event.user_id, event.role))
        case FlagsSet():
            return replace(access, public=event.public, collaborative=event.collaborative)
        case InviteMade():
            kept = {key: invite for key, invite in access.invites.items() if key not in event.expired}
            return replace(access, invites={**kept, event.invite.invite_id: event.invite})
        case InviteRevoked():
            return replace(
                access,
                invites={key: one for key, one in access.invites.items() if key != event.invite_id},
            )
        case InviteAccepted():
            invites = dict(access.invites)
            if (invite := invites.get(event.invite_id)) is not None:
                invites[event.invite_id] = replace(invite, uses_left=invite.uses_left - 1)
            return replace(access, invites=invites, members=_with(access.members, event.user_id, event.role))
        case Banned():
            return replace(
                access,
                bans=access.bans | {event.user_id},
                members=_with(access.members, event.user_id, Role.NONE),
            )
        case Unbanned():
            return replace(access, bans=access.bans - {event.user_id})
        case GivenAway():
            members = _with(access.members, event.user_id, Role.NONE)
            return replace(access, owner=event.user_id, members={**members, access.owner: Role.EDITOR})
        case _:
            assert_never(event)


def _with(members: Mapping[UserId, Role], user_id: UserId, role: Role) -> dict[UserId, Role]:
    others = {member: has for member, has in members.items() if member != user_id}
    return others if role is Role.NONE else {**others, user_id: role}
