"""Laws of stream leases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId, PlayId, SessionId, TrackId, UserId
from kernel.units import Millis
from media.leases import LeaseClaims, sign, verify

words = st.text(st.characters(categories=["L", "N"], max_codepoint=127), min_size=1, max_size=64)
numbers = st.integers(min_value=0, max_value=1 << 53)


class Secrets:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def signing_key(self) -> tuple[str, bytes]:
        return "lease-1", self._secret

    def secret(self, kid: str) -> bytes | None:
        return self._secret if kid == "lease-1" else None


@st.composite
def claims(draw: st.DrawFn) -> LeaseClaims:
    return LeaseClaims(
        user_id=UserId(draw(words)),
        device_id=DeviceId(draw(words)),
        session_id=SessionId(draw(words)),
        device_epoch=draw(numbers),
        play_id=PlayId(draw(words)),
        track_id=TrackId(draw(words)),
        bitrate_kbps_max=draw(st.integers(min_value=0, max_value=10_000)),
        expires_at_ms=Millis(draw(numbers)),
    )


@given(claims(), st.binary(min_size=32, max_size=32), numbers)
def test_a_lease_is_what_was_signed_before_its_end_and_expired_from_then_on(
    signed: LeaseClaims, secret: bytes, now: int
) -> None:
    token = sign(signed, Secrets(secret))
    if now < signed.expires_at_ms:
        assert verify(token, Secrets(secret), now_ms=Millis(now)) == signed
    else:
        with pytest.raises(Rejected) as refused:
            verify(token, Secrets(secret), now_ms=Millis(now))
        assert refused.value.code is Code.LEASE_EXPIRED


@given(st.text(max_size=400) | st.from_regex(r"[A-Za-z0-9_-]{1,400}", fullmatch=True))
def test_no_text_that_was_not_signed_is_a_lease(text: str) -> None:
    with pytest.raises(Rejected) as refused:
        verify(text, Secrets(b"k" * 32), now_ms=Millis(0))
    assert refused.value.code is Code.LEASE_INVALID


@given(claims(), claims())
def test_two_leases_cannot_be_mixed(one: LeaseClaims, other: LeaseClaims) -> None:
    a, b = (sign(each, Secrets(b"k" * 32)) for each in (one, other))
    # 43 characters or a few more hold the signature; wherever the two are cut, it fits neither.
    for cut in range(40, 50):
        mixed = a[:-cut] + b[-cut:]
        if mixed in (a, b):
            continue
        with pytest.raises(Rejected) as refused:
            verify(mixed, Secrets(b"k" * 32), now_ms=Millis(0))
        assert refused.value.code is Code.LEASE_INVALID
