"""Stream leases: what was signed comes back, and nothing else does."""

import base64
import hmac
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from catalog.model import Codec
from kernel.errors import Code, Rejected
from kernel.ids import DeviceId, PlayId, SessionId, UserId
from kernel.units import Millis
from media.leases import TOKEN_CHARS_MAX, LeaseClaims, UnknownKey, device_epoch_key, sign, stream_path, verify
from media.manifest import file_name, leased_file, manifest_json
from tests.support.tracks import LADDER, TRACK_ID, a_rendition, a_track

NOW_MS = Millis(1_790_000_000_000)
CLAIMS = LeaseClaims(
    user_id=UserId("u" * 22),
    device_id=DeviceId("kitchen-0001"),
    session_id=SessionId("01M00000000000000000000000"),
    device_epoch=7,
    play_id=PlayId("01P00000000000000000000000"),
    track_id=TRACK_ID,
    bitrate_kbps_max=160,
    expires_at_ms=Millis(NOW_MS + 120_000),
)


class FixedSecrets:
    """The keys of `media.leases.Secrets`, newest last."""

    def __init__(self, **secrets: bytes) -> None:
        self._secrets = {kid.replace("_", "-"): secret for kid, secret in secrets.items()}

    def signing_key(self) -> tuple[str, bytes]:
        return list(self._secrets.items())[-1]

    def secret(self, kid: str) -> bytes | None:
        return self._secrets.get(kid)


SECRETS = FixedSecrets(lease_1=b"1" * 32, lease_2=b"2" * 32)
TOKEN = sign(CLAIMS, SECRETS)


def opened(token: str) -> tuple[list[Any], bytes]:
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return msgspec.msgpack.decode(raw[:-32]), raw[-32:]


def closed(fields: object, mac: bytes) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(fields) + mac).rstrip(b"=").decode()


def signed_anew(fields: object, secret: bytes = b"2" * 32, context: bytes = b"segue.lease.v1\0") -> str:
    payload = msgspec.msgpack.encode(fields)
    return closed(fields, hmac.digest(secret, context + payload, "sha256"))


FIELDS, MAC = opened(TOKEN)


def with_field(index: int, value: object) -> list[Any]:
    return [*FIELDS[:index], value, *FIELDS[index + 1 :]]


def test_a_lease_says_what_was_signed() -> None:
    assert verify(TOKEN, SECRETS, now_ms=NOW_MS) == CLAIMS


def test_a_lease_is_one_path_segment_and_its_prefix_ends_in_a_slash() -> None:
    path = stream_path(TOKEN)
    assert path == f"/s/{TOKEN}/"
    assert path.count("/") == 3
    assert len(TOKEN) < 350


def test_a_lease_of_an_older_key_is_good_while_that_key_is_accepted() -> None:
    token = sign(CLAIMS, FixedSecrets(lease_1=b"1" * 32))
    assert verify(token, SECRETS, now_ms=NOW_MS) == CLAIMS


@pytest.mark.parametrize(
    ("ms_before_expiry", "good"), [(120_000, True), (1, True), (0, False), (-1, False), (-86_400_000, False)]
)
def test_a_lease_is_good_until_the_millisecond_it_ends(ms_before_expiry: int, good: bool) -> None:
    now_ms = Millis(CLAIMS.expires_at_ms - ms_before_expiry)
    if good:
        assert verify(TOKEN, SECRETS, now_ms=now_ms) == CLAIMS
    else:
        with pytest.raises(Rejected) as refused:
            verify(TOKEN, SECRETS, now_ms=now_ms)
        assert refused.value.code is Code.LEASE_EXPIRED


# Each changes one field of a good lease and keeps its signature.
TAMPERED_FIELDS: dict[str, tuple[int, object]] = {
    "the key, to another accepted one": (0, "lease-1"),
    "the user": (1, "v" * 22),
    "the device": (2, "kitchen-0002"),
    "the session": (3, "01M00000000000000000000001"),
    "the device epoch, up": (4, 8),
    "the device epoch, down": (4, 6),
    "the play": (5, "01P00000000000000000000001"),
    "the track": (6, "0" * 22),
    "the bitrate, up": (7, 320),
    "the expiry, by one": (8, CLAIMS.expires_at_ms + 1),
    "the expiry, for ever": (8, 1 << 53),
}

# Each is a text that is no lease of ours, whatever else it is.
FORGED: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "one character": lambda: "A",
    "a signature alone": lambda: base64.urlsafe_b64encode(b"x" * 32).rstrip(b"=").decode(),
    "no signature": lambda: base64.urlsafe_b64encode(msgspec.msgpack.encode(FIELDS)).rstrip(b"=").decode(),
    "an empty signature": lambda: closed(FIELDS, b""),
    "a signature of zeros": lambda: closed(FIELDS, b"\0" * 32),
    "a signature cut to 16 bytes": lambda: closed(FIELDS, MAC[:16]),
    "a signature one byte short": lambda: closed(FIELDS, MAC[:-1]),
    "a signature one byte long": lambda: closed(FIELDS, MAC + b"\0"),
    "another server's key": lambda: sign(CLAIMS, FixedSecrets(lease_2=b"x" * 32)),
    "an empty key": lambda: signed_anew(FIELDS, secret=b""),
    "another use of our key": lambda: signed_anew(FIELDS, context=b"segue.ticket.v1\0"),
    "our key without the context": lambda: signed_anew(FIELDS, context=b""),
    "the fields as a map": lambda: signed_anew(dict(enumerate(FIELDS))),
    "a field too few": lambda: signed_anew(FIELDS[:-1]),
    "a field too many": lambda: signed_anew([*FIELDS, "admin"]),
    "no fields": lambda: signed_anew([]),
    "a number": lambda: signed_anew(7),
    "the expiry as text": lambda: signed_anew(with_field(8, "1890000000000")),
    "the expiry as a fraction": lambda: signed_anew(with_field(8, 1.5e12)),
    "the expiry as nothing": lambda: signed_anew(with_field(8, None)),
    "the track as bytes": lambda: signed_anew(with_field(6, b"\xff\xfe")),
    "the user as a list": lambda: signed_anew(with_field(1, ["u"])),
    "a lease twice": lambda: TOKEN + TOKEN,
    "two leases and a dot": lambda: f"{TOKEN}.{TOKEN}",
    "bytes after the lease": lambda: closed([*FIELDS], MAC) + "AAAA",
    "a character more": lambda: TOKEN + "A",
    "a character fewer": lambda: TOKEN[:-1],
    "padding": lambda: TOKEN + "=" * (-len(TOKEN) % 4 or 4),
    "a newline at the end": lambda: TOKEN + "\n",
    "a space in front": lambda: " " + TOKEN,
    "a null inside": lambda: TOKEN[:20] + "\0" + TOKEN[20:],
    "a slash": lambda: f"{TOKEN}/../{TOKEN}",
    "percent encoding": lambda: "%41" + TOKEN[1:],
    "double encoding": lambda: "%2541" + TOKEN[1:],
    "the other base64 alphabet": lambda: "+/" + TOKEN[2:],
    "letters that only look like ours": lambda: "А" + TOKEN[1:],  # Cyrillic
    "an emoji": lambda: TOKEN + "🎵",
    "as long as may be": lambda: "A" * TOKEN_CHARS_MAX,
    "longer than may be": lambda: "A" * (TOKEN_CHARS_MAX + 1),
    "a megabyte": lambda: "A" * 1_000_000,
    "nesting without end": lambda: signed_anew_bytes(b"\x91" * 700),
    "an array that says it has four billion items": lambda: signed_anew_bytes(b"\xdd\xff\xff\xff\xff"),
    "a text that says it is huge": lambda: signed_anew_bytes(b"\x99\xdb\xff\xff\xff\xff"),
}


def signed_anew_bytes(payload: bytes) -> str:
    mac = hmac.digest(b"2" * 32, b"segue.lease.v1\0" + payload, "sha256")
    return base64.urlsafe_b64encode(payload + mac).rstrip(b"=").decode()


@pytest.mark.parametrize("name", TAMPERED_FIELDS)
def test_a_lease_with_one_field_changed_is_refused(name: str) -> None:
    index, value = TAMPERED_FIELDS[name]
    assert value != FIELDS[index]
    with pytest.raises(Rejected) as refused:
        verify(closed(with_field(index, value), MAC), SECRETS, now_ms=NOW_MS)
    assert refused.value.code is Code.LEASE_INVALID


@pytest.mark.parametrize("name", FORGED)
def test_what_we_did_not_sign_is_refused(name: str) -> None:
    with pytest.raises(Rejected) as refused:
        verify(FORGED[name](), SECRETS, now_ms=NOW_MS)
    assert refused.value.code is Code.LEASE_INVALID
    assert "A" * 100 not in refused.value.message


def test_every_single_bit_counts() -> None:
    raw = base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Rejected) as refused:
            verify(base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), SECRETS, now_ms=NOW_MS)
        assert refused.value.code is Code.LEASE_INVALID, bit


def test_one_lease_has_one_spelling() -> None:
    # Where the length leaves bits over, base64 has several texts for the same bytes.
    for extra in range(3):
        claims = msgspec.structs.replace(CLAIMS, device_id=DeviceId("d" * (12 + extra)))
        token = sign(claims, SECRETS)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        accepted = []
        for last in alphabet:
            try:
                verify(token[:-1] + last, SECRETS, now_ms=NOW_MS)
                accepted.append(token[:-1] + last)
            except Rejected:
                pass
        assert accepted == [token]


def test_an_unknown_key_is_told_apart_so_that_the_store_can_be_asked() -> None:
    with pytest.raises(UnknownKey) as refused:
        verify(sign(CLAIMS, FixedSecrets(lease_3=b"3" * 32)), SECRETS, now_ms=NOW_MS)
    assert refused.value.kid == "lease-3"
    again = pickle.loads(pickle.dumps(refused.value))
    assert (again.kid, again.code, str(again)) == ("lease-3", Code.LEASE_INVALID, str(refused.value))


# --- what a lease covers -----------------------------------------------------------------------------

WRONG_FILES = (
    "aac-256.mp4",  # above the lease's bitrate
    "vorbis-320.ogg",
    "aac-160.ogg",
    "aac-160",
    "AAC-160.mp4",
    "aac-160.mp4.",
    "aac-160.mp4\0",
    "aac-160.mp4/",
    "../aac-160.mp4",
    "..%2faac-160.mp4",
    "aac-160.mp4%00",
    "",
    ".",
    "..",
    "manifest",
)


@pytest.mark.parametrize("file", WRONG_FILES)
def test_a_file_that_the_lease_does_not_cover_is_foreign(file: str) -> None:
    with pytest.raises(Rejected) as refused:
        leased_file(a_track(*LADDER), CLAIMS, file)
    assert refused.value.code is Code.LEASE_FOREIGN


@pytest.mark.parametrize("file", ["aac-96.mp4", "aac-160.mp4", "vorbis-96.ogg", "vorbis-160.ogg"])
def test_a_file_that_the_lease_covers_is_found(file: str) -> None:
    assert file_name(leased_file(a_track(*LADDER), CLAIMS, file)) == file


def test_the_manifest_has_what_a_player_needs_and_nothing_that_is_not_leased() -> None:
    track = a_track(a_rendition(Codec.AAC, 160, b"x" * 500), a_rendition(Codec.AAC, 256, b"y" * 500))
    assert msgspec.json.decode(manifest_json(track, CLAIMS)) == {
        "track_uri": f"spotify:track:{TRACK_ID}",
        "duration_ms": 10_000,
        "gain_db": 6.0,
        "renditions": [
            {
                "name": "aac-160",
                "file": "aac-160.mp4",
                "codec": "aac",
                "mime": 'audio/mp4; codecs="mp4a.40.2"',
                "bitrate_kbps": 160,
                "size": 500,
                "sample_rate": 44_100,
                "pcm_frames": 441_000,
                "encoder_delay": 1024,
                "end_padding": 312,
                "init_size": 100,
                "segments": [[100, 400, 0, 442_336]],
            }
        ],
    }


def test_a_session_s_newest_device_epoch_has_a_key_of_its_own() -> None:
    assert device_epoch_key(CLAIMS.session_id) == f"device-epoch/{CLAIMS.session_id}"
