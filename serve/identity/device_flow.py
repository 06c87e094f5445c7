"""The device flow (RFC 8628): a player without a keyboard shows a short code, a person enters it elsewhere.

    device_codes      hash of the device code   client, scopes, user code
    device_user_codes user code                 hash of the device code: inserted, so no two are alike
    device_decisions  hash of the device code   what the person said; the first word counts
    device_used       hash of the device code   nothing: who inserts it gets the tokens

How often a device asks is counted in this process's memory: of several processes each allows its own share.
"""

import secrets
from collections import OrderedDict

import msgspec

from kernel.errors import Code, Unavailable
from kernel.units import Clock, Millis
from serve.accounts import Account
from serve.identity.clients import Client
from serve.identity.grants import Family, Granted, Grants
from serve.identity.opaque import hash_of, new_secret
from serve.identity.refusals import (
    ACCESS_DENIED,
    AUTHORIZATION_PENDING,
    EXPIRED_TOKEN,
    INVALID_GRANT,
    SLOW_DOWN,
    refused,
)
from serve.identity.shelf import Shelf

LIFE_S = 600
INTERVAL_S = 5
SLOWER_BY_S = 5
INTERVAL_MAX_S = 60
KEPT_AFTER_S = 600
"""So that a device that asks late hears `expired_token` and not that its code never was."""
POLLING_MAX = 10_000
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 §6.1: no vowels, so no words; no digits to mistake for letters."""
USER_CODE_CHARS = 8
CODE_TRIES = 5


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One device that waits for its person."""

    device: str
    """Hash of its device code."""
    client_id: str
    scopes: frozenset[str]
    user_code: str
    expires_at_ms: Millis


class _Decision(msgspec.Struct, frozen=True, kw_only=True):
    login: Family | None
    """None: denied."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    device_code: str
    user_code: str
    expires_in: int
    interval: int


class DeviceFlow:
    def __init__(self, shelf: Shelf, grants: Grants, clock: Clock) -> None:
        self._shelf = shelf
        self._grants = grants
        self._clock = clock
        # hash of a device code -> (tick of its last question, seconds it must leave between two)
        self._polls: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def start(self, client: Client, scopes: frozenset[str]) -> Started:
        device_code = new_secret()
        expires_at_ms = Millis(self._clock.now_ms() + LIFE_S * 1000)
        until_ms = Millis(expires_at_ms + KEPT_AFTER_S * 1000)
        for _ in range(CODE_TRIES):
            user_code = "".join(secrets.choice(LETTERS) for _ in range(USER_CODE_CHARS))
            device = hash_of(device_code)
            if await self._shelf.insert("device_user_codes", user_code, device.encode(), until_ms=until_ms):
                break
        else:
            raise Unavailable(Code.BUSY, "device code asked for: no free user code", None, Millis(1_000))
        waiting = Waiting(
            device=device,
            client_id=client.client_id,
            scopes=scopes,
            user_code=user_code,
            expires_at_ms=expires_at_ms,
        )
        await self._shelf.insert("device_codes", device, _encode(waiting), until_ms=until_ms)
        return Started(
            device_code=device_code, user_code=shown(user_code), expires_in=LIFE_S, interval=INTERVAL_S
        )

    async def waiting(self, user_code: str) -> Waiting | None:
        """Who shows this code; None when nobody does, or no longer, or it was answered."""
        device = await self._shelf.get("device_user_codes", typed(user_code))
        found = await self._shelf.get("device_codes", device.decode()) if device is not None else None
        waiting = _decode_waiting(found) if found is not None else None
        if waiting is None or self._clock.now_ms() >= waiting.expires_at_ms:
            return None
        answered = await self._shelf.get("device_decisions", waiting.device)
        return waiting if answered is None else None

    async def decide(self, waiting: Waiting, client: Client, account: Account | None) -> bool:
        """The person's word; `account` None denies. False when somebody was faster."""
        login = self._grants.new_login(client, account, waiting.scopes) if account is not None else None
        until_ms = Millis(waiting.expires_at_ms + KEPT_AFTER_S * 1000)
        return await self._shelf.insert(
            "device_decisions", waiting.device, _encode(_Decision(login=login)), until_ms=until_ms
        )

    async def poll(self, client: Client, device_code: str) -> Granted:
        """The device asks. Raises Rejected with one of OAuth's words while there is nothing to have."""
        device = hash_of(device_code)
        found = await self._shelf.get("device_codes", device)
        waiting = _decode_waiting(found) if found is not None else None
        if waiting is None or waiting.client_id != client.client_id:
            raise refused(INVALID_GRANT, "device code rejected: it is not one that was given to this client")
        self._pace(device)
        said = await self._shelf.get("device_decisions", device)
        if self._clock.now_ms() >= waiting.expires_at_ms:
            raise refused(EXPIRED_TOKEN, f"device code rejected: it is older than {LIFE_S} s; begin again")
        if said is None:
            raise refused(AUTHORIZATION_PENDING, "device code: nobody has entered its user code yet")
        login = _decode_decision(said).login
        if login is None:
            raise refused(ACCESS_DENIED, "device code rejected: the user said no")
        account = await self._grants.account_of(login)
        until_ms = Millis(waiting.expires_at_ms + KEPT_AFTER_S * 1000)
        if not await self._shelf.insert("device_used", device, b"", until_ms=until_ms):
            await self._grants.end(login)
            raise refused(INVALID_GRANT, "device code rejected: it was used before; its tokens are withdrawn")
        self._polls.pop(device, None)
        return Granted(
            account=account,
            login=login,
            scopes=login.scopes,
            refresh_token=await self._grants.begin(login),
        )

    def _pace(self, device: str) -> None:
        now_s = self._clock.tick_s()
        last_s, interval_s = self._polls.pop(device, (float("-inf"), INTERVAL_S))
        too_soon = now_s - last_s < interval_s
        if too_soon:
            interval_s = min(interval_s + SLOWER_BY_S, INTERVAL_MAX_S)
        self._polls[device] = (now_s, interval_s)
        if len(self._polls) > POLLING_MAX:
            self._polls.popitem(last=False)
        if too_soon:
            raise refused(
                SLOW_DOWN, f"device code: asked too soon; leave {interval_s} s between two questions"
            )


def shown(user_code: str) -> str:
    return f"{user_code[:4]}-{user_code[4:]}"


def typed(user_code: str) -> str:
    """What somebody meant: any case, with or without the dash."""
    return "".join(letter for letter in user_code.upper() if letter in LETTERS)[: USER_CODE_CHARS + 1]


_encode = msgspec.msgpack.Encoder().encode
_decode_waiting = msgspec.msgpack.Decoder(Waiting).decode
_decode_decision = msgspec.msgpack.Decoder(_Decision).decode
