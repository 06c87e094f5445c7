"""What the codec makes of frames that are not what they should be."""

import json
from collections.abc import Callable

import msgspec
import pytest

from connect.codec import Encoding, decode_client, decode_server, encode, negotiate
from connect.frames import FRAME_BYTES_MAX, CommandFrame, Ping, Renew, Switched
from kernel.errors import TABLE, Code, Rejected
from kernel.ids import CommandId, HandoffId
from sessions.commands import SetSpeed

BOTH = pytest.mark.parametrize("encoding", Encoding)


def write(value: object, encoding: Encoding) -> bytes | str:
    """Any value as a message, whether or not it is a frame."""
    return msgspec.msgpack.encode(value) if encoding is Encoding.MSGPACK else json.dumps(value)


def refused(data: bytes | str, encoding: Encoding) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode_client(data, encoding)
    return caught.value


@BOTH
def test_an_unknown_type_is_told_apart_and_leaves_the_connection_open(encoding: Encoding) -> None:
    fault = refused(write({"type": "teleport", "to": "mars"}, encoding), encoding)
    assert fault.code is Code.UNKNOWN_TYPE
    assert TABLE[fault.code].close is None
    assert "teleport" in fault.message


@BOTH
def test_a_frame_only_servers_send_is_unknown_from_a_client(encoding: Encoding) -> None:
    assert refused(write({"type": "goaway"}, encoding), encoding).code is Code.UNKNOWN_TYPE


@BOTH
def test_an_unknown_endpoint_is_answered_by_its_command_id(encoding: Encoding) -> None:
    frame = {"type": "command", "command_id": "command-1", "command": {"endpoint": "explode"}}
    fault = refused(write(frame, encoding), encoding)
    assert (fault.code, fault.details) == (Code.UNKNOWN_TYPE, {"command_id": "command-1"})


@BOTH
@pytest.mark.parametrize(
    "command",
    [
        {"endpoint": "seek_to"},
        {"endpoint": "seek_to", "position_ms": -1},
        {"endpoint": "seek_to", "position_ms": "soon"},
        {"endpoint": "set_volume", "volume_percent": 101},
        {"endpoint": "add_to_queue", "uris": ["spotify:track:x"] * 101},
        {"endpoint": "set_repeat", "repeat": "sometimes"},
    ],
)
def test_a_command_with_a_bad_field_is_answered_by_its_command_id(
    encoding: Encoding, command: dict[str, object]
) -> None:
    fault = refused(
        write({"type": "command", "command_id": "command-1", "command": command}, encoding), encoding
    )
    assert (fault.code, fault.details) == (Code.BAD_REQUEST, {"command_id": "command-1"})
    assert TABLE[fault.code].close is None


@BOTH
def test_a_command_without_a_usable_id_cannot_be_answered_and_is_a_bad_frame(encoding: Encoding) -> None:
    for command_id in (None, 5, "short", "x" * 65):
        frame = {"type": "command", "command_id": command_id, "command": {"endpoint": "pause"}}
        assert refused(write(frame, encoding), encoding).code is Code.BAD_FRAME


@BOTH
@pytest.mark.parametrize("value", [None, 5, "hello", [], {}, {"type": 5}, {"type": None}, {"type": "ping"}])
def test_what_is_no_frame_is_a_bad_frame(encoding: Encoding, value: object) -> None:
    assert refused(write(value, encoding), encoding).code is Code.BAD_FRAME


@BOTH
def test_fields_of_a_newer_peer_are_passed_over(encoding: Encoding) -> None:
    assert decode_client(write({"type": "renew", "why": ["sleep", {"h": 8}]}, encoding), encoding) == Renew()
    newer = {"type": "abort", "handoff_id": "h", "reason": "r", "colour": "red"}
    assert decode_server(write(newer, encoding), encoding).reason == "r"  # type: ignore[union-attr]  # it is an Abort


def test_the_wrong_kind_of_message_is_refused_before_it_is_read() -> None:
    assert "text" in refused('{"type":"renew"}', Encoding.MSGPACK).message
    assert "binary" in refused(b'{"type":"renew"}', Encoding.JSON).message


@BOTH
def test_size_is_looked_at_first_and_counted_in_bytes(encoding: Encoding) -> None:
    blank: bytes | str = b"\xc1" * (FRAME_BYTES_MAX + 1)
    if encoding is Encoding.JSON:
        blank = "é" * (FRAME_BYTES_MAX // 2 + 1)
    assert refused(blank, encoding).code is Code.FRAME_TOO_LARGE


@BOTH
def test_a_frame_of_exactly_the_limit_is_read(encoding: Encoding) -> None:
    def padded(count: int) -> bytes | str:
        return write({"type": "renew", "x": "." * count}, encoding)

    room = FRAME_BYTES_MAX - len(padded(60_000)) + 60_000
    assert len(padded(room)) == FRAME_BYTES_MAX
    assert decode_client(padded(room), encoding) == Renew()
    assert refused(padded(room + 1), encoding).code is Code.FRAME_TOO_LARGE


DEPTH = 30_000


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ('{"type":"renew","x":' + "[" * DEPTH + "]" * DEPTH + "}", Encoding.JSON),
        ("[" * DEPTH, Encoding.JSON),
        ('{"a":' * 10_000, Encoding.JSON),
        (b"\x82\xa4type\xa5renew\xa1x" + b"\x91" * DEPTH + b"\xc0", Encoding.MSGPACK),
        (b"\x91" * DEPTH, Encoding.MSGPACK),
        (b"\x81\xa1a" * 20_000, Encoding.MSGPACK),
        # Claims a map of four billion entries, and a string of four billion bytes.
        (b"\xdf\xff\xff\xff\xff", Encoding.MSGPACK),
        (b"\x82\xa4type\xdb\xff\xff\xff\xff", Encoding.MSGPACK),
        (b"\x81\xa4type\xa2\xff\xfe", Encoding.MSGPACK),
        (b"\xff\xfe", Encoding.MSGPACK),
        ('{"type":"refuse","handoff_id":"\\ud800","reason":""}', Encoding.JSON),
        ('{"type":"renew","x":"\ud800"}', Encoding.JSON),
        ("", Encoding.JSON),
        (b"", Encoding.MSGPACK),
        ("nonsense", Encoding.JSON),
        ('{"type":"renew"}{"type":"renew"}', Encoding.JSON),
        ('{"type":"ping","t0_ms":NaN}', Encoding.JSON),
        ('{"type":"ping","t0_ms":1e999}', Encoding.JSON),
        ('{"type":"ping","t0_ms":' + "9" * 50_000 + "}", Encoding.JSON),
    ],
    ids=lambda value: str(value)[:24],
)
def test_hostile_bytes_are_a_bad_frame(data: bytes | str, encoding: Encoding) -> None:
    fault = refused(data, encoding)
    assert fault.code is Code.BAD_FRAME
    assert len(fault.message) < 400


def test_what_goes_back_to_the_peer_does_not_grow_with_what_it_sent() -> None:
    assert len(refused(write({"type": "x" * 50_000}, Encoding.JSON), Encoding.JSON).message) < 400


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "frame",
    [
        lambda number: Ping(t0_ms=number),
        lambda number: Ping(t0_ms=0.0, rtt_ms=number),
        lambda number: Ping(t0_ms=0.0, clock_offset_ms=number),
        lambda number: Switched(handoff_id=HandoffId("h"), at_ms=number, position_ms=0.0),
        lambda number: Switched(handoff_id=HandoffId("h"), at_ms=0.0, position_ms=number),
        lambda number: CommandFrame(command_id=CommandId("command-1"), command=SetSpeed(speed=number)),
    ],
)
def test_a_number_that_is_none_is_refused(frame: Callable[[float], Ping], number: float) -> None:
    fault = refused(encode(frame(number), Encoding.MSGPACK), Encoding.MSGPACK)
    assert fault.code in (Code.BAD_FRAME, Code.BAD_REQUEST)


def test_the_server_prefers_msgpack_and_refuses_strangers() -> None:
    assert negotiate(("segue.v1.json", "segue.v1.msgpack")) == ("segue.v1.msgpack", Encoding.MSGPACK)
    assert negotiate(("chat", "segue.v1.json")) == ("segue.v1.json", Encoding.JSON)
    assert negotiate(("chat",)) is None
