"""Access tokens and tickets: ours are read back, every way to make one's own is refused."""

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from catalog.model import Plan
from kernel.errors import Code, Rejected
from kernel.ids import UserId
from kernel.units import Millis
from serve.accounts import Account
from serve.keys import KeyRing, Purpose
from serve.settings import Settings
from serve.tokens import CLOCK_SKEW_S, SCOPES, TOKEN_CHARS_MAX, Tokens, require_scope
from storage.memory import MemoryDocuments
from tests.support.clock import FakeClock

ACCOUNT = Account(
    user_id=UserId("u" * 22), username="ada", plan=Plan.FAMILY, country="NL", created_at_ms=Millis(0)
)


class Desk(NamedTuple):
    tokens: Tokens
    ring: KeyRing
    clock: FakeClock

    @property
    def secret(self) -> bytes:
        return self.ring.of(Purpose.ACCESS).signing_key()[1]

    @property
    def now_s(self) -> int:
        return self.clock.now_ms() // 1000

    def claims(self, **changes: object) -> dict[str, Any]:
        """Those of a good access token, with changes; a change to ... leaves the claim out."""
        claims = {
            "iss": "segue",
            "aud": "segue.api",
            "sub": "u" * 22,
            "iat": self.now_s,
            "exp": self.now_s + 3600,
            "jti": "j" * 22,
            "scope": "streaming",
            "plan": "family",
            "country": "NL",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not ...}

    def made(
        self,
        *,
        claims: object = None,
        secret: bytes | None = None,
        digest: str = "sha256",
        header: str | None = None,
        **in_header: object,
    ) -> str:
        """A JWT put together by hand, signed with the right secret unless told otherwise."""
        fields = {"alg": "HS256", "typ": "JWT", "kid": "access-1", **in_header}
        head = header or json.dumps({name: value for name, value in fields.items() if value is not ...})
        body = claims if isinstance(claims, str) else json.dumps(self.claims() if claims is None else claims)
        signed = f"{b64(head.encode())}.{b64(body.encode())}"
        mac = hmac.digest(self.secret if secret is None else secret, signed.encode(), digest)
        return f"{signed}.{b64(mac)}"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
async def desk() -> Desk:
    clock = FakeClock()
    settings = Settings(token_ttl_s=3600, ticket_ttl_s=60)
    ring = await KeyRing.open(MemoryDocuments(), clock, settings)
    return Desk(Tokens(ring, clock, settings), ring, clock)


async def refusal(desk: Desk, token: str) -> Rejected:
    with pytest.raises(Rejected) as refused:
        await desk.tokens.verify_access(token)
    assert refused.value.code is Code.UNAUTHORIZED
    return refused.value


async def test_an_access_token_says_who_and_what(desk: Desk) -> None:
    claims = await desk.tokens.verify_access(
        desk.tokens.issue_access(ACCOUNT, ["streaming", "user-read-email"])
    )
    assert claims.user_id == ACCOUNT.user_id
    assert claims.scopes == {"streaming", "user-read-email"}
    assert (claims.plan, claims.country) == (Plan.FAMILY, "NL")
    assert claims.expires_at_ms - claims.issued_at_ms == 3_600_000
    assert len(desk.tokens.issue_access(ACCOUNT)) < TOKEN_CHARS_MAX


async def test_a_token_without_a_wish_has_every_scope_and_no_two_are_equal(desk: Desk) -> None:
    one, other = [await desk.tokens.verify_access(desk.tokens.issue_access(ACCOUNT)) for _ in range(2)]
    assert one.scopes == frozenset(SCOPES)
    assert one.token_id != other.token_id


async def test_another_library_reads_our_tokens(desk: Desk) -> None:
    head, body, mac = desk.tokens.issue_access(ACCOUNT).split(".")
    assert b64(hmac.digest(desk.secret, f"{head}.{body}".encode(), "sha256")) == mac
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {
        "alg": "HS256",
        "typ": "JWT",
        "kid": "access-1",
    }


async def test_what_the_vectors_start_from_is_a_good_token(desk: Desk) -> None:
    for token in (desk.made(), desk.made(header=padded_header(100)), desk.made(typ=...)):
        claims = await desk.tokens.verify_access(token)
        assert claims.user_id == "u" * 22


async def test_a_ticket_is_the_token_s_for_a_minute(desk: Desk) -> None:
    access = await desk.tokens.verify_access(desk.tokens.issue_access(ACCOUNT, ["streaming"]))
    ticket = desk.tokens.issue_ticket(access, shard=12, owner_epoch=3)
    claims = await desk.tokens.verify_ticket(ticket)
    assert (claims.user_id, claims.plan, claims.country) == (ACCOUNT.user_id, Plan.FAMILY, "NL")
    assert (claims.shard, claims.owner_epoch) == (12, 3)
    assert claims.scopes == {"streaming"}
    desk.clock.advance(60_000)
    with pytest.raises(Rejected) as refused:
        await desk.tokens.verify_ticket(ticket)
    assert refused.value.details["expired"] is True


async def test_a_ticket_is_no_access_token_nor_the_other_way_round(desk: Desk) -> None:
    token = desk.tokens.issue_access(ACCOUNT)
    ticket = desk.tokens.issue_ticket(await desk.tokens.verify_access(token))
    await refusal(desk, ticket)
    with pytest.raises(Rejected):
        await desk.tokens.verify_ticket(token)


async def test_what_was_checked_lately_is_still_the_token_s_own_claims(desk: Desk) -> None:
    tokens = [desk.tokens.issue_access(ACCOUNT, [scope]) for scope in SCOPES[:3]]
    for _ in range(2):
        assert [(await desk.tokens.verify_access(token)).scopes for token in tokens] == [
            {scope} for scope in SCOPES[:3]
        ]
    with pytest.raises(Rejected):
        await desk.tokens.verify_ticket(tokens[0])


async def test_a_disabled_account_gets_no_token(desk: Desk) -> None:
    disabled = Account(**{**{f: getattr(ACCOUNT, f) for f in ACCOUNT.__struct_fields__}, "disabled": True})
    with pytest.raises(Rejected) as refused:
        desk.tokens.issue_access(disabled)
    assert refused.value.code is Code.UNAUTHORIZED


async def test_a_scope_that_does_not_exist_is_not_given(desk: Desk) -> None:
    with pytest.raises(Rejected) as refused:
        desk.tokens.issue_access(ACCOUNT, ["streaming", "admin"])
    assert refused.value.code is Code.BAD_REQUEST
    assert "'admin'" in refused.value.message


async def test_a_token_without_the_scope_is_forbidden(desk: Desk) -> None:
    claims = await desk.tokens.verify_access(desk.tokens.issue_access(ACCOUNT, ["streaming"]))
    require_scope(claims, "user-read-email", "streaming")
    with pytest.raises(Rejected) as refused:
        require_scope(claims, "user-read-email")
    assert refused.value.code is Code.FORBIDDEN


@pytest.mark.parametrize(
    ("after_ms", "good"), [(0, True), (3_599_999, True), (3_600_000, False), (10**9, False)]
)
async def test_a_token_is_good_until_the_millisecond_it_ends(desk: Desk, after_ms: int, good: bool) -> None:
    desk.clock.advance(-desk.clock.now_ms() % 1000)  # to a whole second, as the claims are
    token = desk.tokens.issue_access(ACCOUNT)
    desk.clock.advance(after_ms)
    if good:
        for _ in range(2):  # once checked, and once from what was checked lately
            await desk.tokens.verify_access(token)
        desk.clock.advance(3_600_000 - after_ms)
    if not good or after_ms > 3_590_000:
        assert (await refusal(desk, token)).details["expired"] is True


async def test_a_token_from_another_server_s_clock_is_good_within_the_skew(desk: Desk) -> None:
    ahead = desk.now_s + CLOCK_SKEW_S
    await desk.tokens.verify_access(desk.made(claims=desk.claims(iat=ahead, exp=ahead + 60)))
    await refusal(desk, desk.made(claims=desk.claims(iat=ahead + 1, exp=ahead + 60)))


async def test_a_token_of_the_key_before_is_good_until_it_has_run_out(desk: Desk) -> None:
    token = desk.tokens.issue_access(ACCOUNT)
    await desk.ring.rotate(Purpose.ACCESS)
    assert (
        "access-2"
        in base64.urlsafe_b64decode(desk.tokens.issue_access(ACCOUNT).split(".")[0] + "==").decode()
    )
    await desk.tokens.verify_access(token)
    await desk.ring.rotate(Purpose.ACCESS, revoke_older=True)
    await refusal(desk, token)


PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""
"""Of nobody: what matters is that it looks like one to a library that guesses."""


def padded_header(size: int) -> str:
    return '{"alg":"HS256","typ":"JWT","kid":"access-1"' + " " * size + "}"


ATTACKS: dict[str, Callable[[Desk], str]] = {
    # no signature
    "alg none": lambda d: d.made(alg="none"),
    "alg none and an empty signature": lambda d: d.made(alg="none").rpartition(".")[0] + ".",
    "alg None, spelled otherwise": lambda d: d.made(alg="NoNe"),
    "no alg": lambda d: d.made(alg=...),
    "alg null": lambda d: d.made(alg=None),
    "alg a list": lambda d: d.made(alg=["HS256"]),
    "signature left out": lambda d: d.made().rpartition(".")[0],
    "signature empty": lambda d: d.made().rpartition(".")[0] + ".",
    "signature cut": lambda d: d.made()[:-4],
    "signature of zeros": lambda d: d.made().rpartition(".")[0] + "." + b64(b"\0" * 32),
    # another algorithm or key
    "RS256 in the header, HMAC in the signature": lambda d: d.made(alg="RS256"),
    "RS256 and a signature of its length": lambda d: (
        d.made(alg="RS256").rpartition(".")[0] + "." + b64(b"x" * 256)
    ),
    "ES256 in the header": lambda d: d.made(alg="ES256"),
    "EdDSA in the header": lambda d: d.made(alg="EdDSA"),
    "a public key as an HMAC secret": lambda d: d.made(secret=PUBLIC_KEY),
    "HS384 with the right secret": lambda d: d.made(alg="HS384", digest="sha384"),
    "HS512 with the right secret": lambda d: d.made(alg="HS512", digest="sha512"),
    "alg in lower case": lambda d: d.made(alg="hs256"),
    "an empty secret": lambda d: d.made(secret=b""),
    "a guessed secret": lambda d: d.made(secret=b"secret"),
    "the secret of tickets": lambda d: d.made(secret=d.ring.of(Purpose.TICKET).signing_key()[1]),
    "the secret of leases": lambda d: d.made(secret=d.ring.of(Purpose.LEASE).signing_key()[1]),
    # the header
    "crit": lambda d: d.made(crit=["exp"]),
    "crit b64": lambda d: d.made(crit=["b64"], b64=False),
    "b64 false without crit": lambda d: d.made(b64=False),
    "jku": lambda d: d.made(jku="http://127.0.0.1/keys"),
    "jwk": lambda d: d.made(jwk={"kty": "oct", "k": b64(b"x" * 32)}, secret=b"x" * 32),
    "x5u": lambda d: d.made(x5u="http://127.0.0.1/cert"),
    "zip": lambda d: d.made(zip="DEF"),
    "another typ": lambda d: d.made(typ="at+jwt"),
    "no kid": lambda d: d.made(kid=...),
    "kid null": lambda d: d.made(kid=None),
    "kid a number": lambda d: d.made(kid=1),
    "kid empty": lambda d: d.made(kid=""),
    "kid of another purpose": lambda d: d.made(kid="lease-1"),
    "kid not made yet": lambda d: d.made(kid="access-2"),
    "kid with leading zeros": lambda d: d.made(kid="access-01"),
    "kid a path": lambda d: d.made(kid="../../../dev/null", secret=b""),
    "kid an injection": lambda d: d.made(kid="access-1' OR '1'='1"),
    "kid a null byte": lambda d: d.made(kid="access-1\0"),
    "kid twice": lambda d: d.made(header='{"alg":"HS256","typ":"JWT","kid":"access-2","kid":"access-1"}'),
    "alg twice": lambda d: d.made(header='{"alg":"none","alg":"HS256","typ":"JWT","kid":"access-1"}'),
    "a header of garbage": lambda d: d.made(header="garbage"),
    "a header that is a list": lambda d: d.made(header='["HS256"]'),
    "a header nested deeply": lambda d: d.made(header="[" * 1500),
    "a header in UTF-16": lambda d: b64('{"alg":"HS256","kid":"access-1"}'.encode("utf-16")) + d.made()[30:],
    "a header of one megabyte, rightly signed": lambda d: d.made(header=padded_header(1_000_000)),
    # the claims
    "another audience": lambda d: d.made(claims=d.claims(aud="segue.connect")),
    "a list with our audience": lambda d: d.made(claims=d.claims(aud=["segue.api", "x"])),
    "no audience": lambda d: d.made(claims=d.claims(aud=...)),
    "another issuer": lambda d: d.made(claims=d.claims(iss="segue.example")),
    "no issuer": lambda d: d.made(claims=d.claims(iss=...)),
    "no subject": lambda d: d.made(claims=d.claims(sub=...)),
    "an empty subject": lambda d: d.made(claims=d.claims(sub="")),
    "a subject that is a number": lambda d: d.made(claims=d.claims(sub=7)),
    "a subject that is a map": lambda d: d.made(claims=d.claims(sub={"$ne": ""})),
    "no expiry": lambda d: d.made(claims=d.claims(exp=...)),
    "expiry null": lambda d: d.made(claims=d.claims(exp=None)),
    "expiry as text": lambda d: d.made(claims=d.claims(exp=str(d.now_s + 60))),
    "expiry as a fraction": lambda d: d.made(claims=d.claims(exp=d.now_s + 60.5)),
    "expiry without bound": lambda d: d.made(claims=d.claims(exp=10**30)),
    "expiry not a number": lambda d: d.made(
        claims=json.dumps(d.claims(exp=1)).replace('"exp": 1', '"exp": NaN')
    ),
    "expired": lambda d: d.made(claims=d.claims(iat=d.now_s - 60, exp=d.now_s)),
    "expiry before issue": lambda d: d.made(claims=d.claims(exp=d.now_s - 1)),
    "issued in the future": lambda d: d.made(claims=d.claims(iat=d.now_s + 600, exp=d.now_s + 900)),
    "no issue time": lambda d: d.made(claims=d.claims(iat=...)),
    "a plan that does not exist": lambda d: d.made(claims=d.claims(plan="owner")),
    "a country that is none": lambda d: d.made(claims=d.claims(country="nl\n")),
    "a claim too many": lambda d: d.made(claims=d.claims(admin=True)),
    "claims that are a list": lambda d: d.made(claims=[1, 2]),
    "claims that are no JSON": lambda d: d.made(claims="garbage"),
    # the whole
    "nothing": lambda _: "",
    "dots": lambda _: "..",
    "four parts": lambda d: d.made() + ".AAAA",
    "five parts, as an encrypted one": lambda d: d.made() + ".AAAA.AAAA",
    "padding": lambda d: d.made() + "=",
    "a space in front": lambda d: " " + d.made(),
    "a newline at the end": lambda d: d.made() + "\n",
    "the word Bearer": lambda d: "Bearer " + d.made(),
    "the other base64 alphabet": lambda d: d.made() + "+/",
    "a null": lambda d: d.made() + "\0",
    "letters that only look like ours": lambda d: d.made().replace("e", "е", 1),  # Cyrillic
    "two tokens": lambda d: d.made() + d.made(),
    "longer than may be, rightly signed": lambda d: d.made(header=padded_header(TOKEN_CHARS_MAX)),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_token_that_we_did_not_issue_is_refused(desk: Desk, name: str) -> None:
    token = ATTACKS[name](desk)
    refused = await refusal(desk, token)
    assert token not in refused.message or not token


async def test_a_token_with_any_character_changed_is_refused(desk: Desk) -> None:
    token = desk.made()
    last = len(token) - 1  # its last two bits are not part of the signature
    for place in range(last):
        other = "A" if token[place] != "A" else "B"
        await refusal(desk, token[:place] + other + token[place + 1 :])
