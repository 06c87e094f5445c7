"""Frames to bytes and back, in both encodings: the only place that decodes a frame.

Whatever a peer sends, decoding gives a frame or raises `Rejected` with one of four codes:

    FRAME_TOO_LARGE   more bytes than the limit; looked at before anything else
    BAD_FRAME         not decodable: wrong kind of message, bad UTF-8, too deep, a wrong type, not a number
    UNKNOWN_TYPE      well formed, but its `type` (or a command's `endpoint`) is not one of ours: a newer peer
    BAD_REQUEST       a command whose fields are missing or out of range; `details.command_id` names it

Fields that a frame does not have are passed over, so that a newer peer can talk to an older one.
"""

from enum import StrEnum
from math import isfinite
from typing import Annotated, TypeVar, get_args

import msgspec
from msgspec import Meta

from connect.frames import (
    FRAME_BYTES_MAX,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    ClientFrame,
    CommandFrame,
    Ping,
    ServerFrame,
    Switched,
)
from kernel.errors import Code, Rejected
from sessions.commands import Command, SetSpeed

SERVER_FRAME_BYTES_MAX = 1024 * 1024
"""What a client accepts: a snapshot is larger than anything a client sends."""
QUOTE_CHARS_MAX = 200
"""How much of a fault's description goes back to the peer: it quotes what the peer sent."""


class Encoding(StrEnum):
    """How a connection writes its frames; chosen once, by the subprotocol."""

    MSGPACK = "msgpack"
    """One binary message per frame."""
    JSON = "json"
    """One text message per frame."""


ENCODINGS = {SUBPROTOCOL_MSGPACK: Encoding.MSGPACK, SUBPROTOCOL_JSON: Encoding.JSON}
"""By subprotocol, the preferred one first."""


def negotiate(offered: tuple[str, ...]) -> tuple[str, Encoding] | None:
    """The subprotocol to speak, the server's preference first; None when the client offered none of ours."""
    for subprotocol, encoding in ENCODINGS.items():
        if subprotocol in offered:
            return subprotocol, encoding
    return None


class _Envelope(msgspec.Struct):
    """The least there is to know of a frame that did not decode."""

    type: str


class _Endpoint(msgspec.Struct):
    endpoint: str


class _CommandEnvelope(msgspec.Struct):
    command_id: Annotated[str, Meta(min_length=8, max_length=64)]
    command: _Endpoint


Frame = TypeVar("Frame")


def _tags(union: object) -> frozenset[str]:
    return frozenset(str(struct.__struct_config__.tag) for struct in get_args(union))


_CLIENT_TYPES = _tags(ClientFrame)
_SERVER_TYPES = _tags(ServerFrame)
_ENDPOINTS = _tags(Command)

_msgpack_encoder = msgspec.msgpack.Encoder()
_json_encoder = msgspec.json.Encoder()
_msgpack_client = msgspec.msgpack.Decoder(ClientFrame)
_json_client = msgspec.json.Decoder(ClientFrame)
_msgpack_server = msgspec.msgpack.Decoder(ServerFrame)
_json_server = msgspec.json.Decoder(ServerFrame)
_msgpack_envelope = msgspec.msgpack.Decoder(_Envelope)
_json_envelope = msgspec.json.Decoder(_Envelope)
_msgpack_command = msgspec.msgpack.Decoder(_CommandEnvelope)
_json_command = msgspec.json.Decoder(_CommandEnvelope)

_UNDECODABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""Everything msgspec raises for bytes of a stranger; deep nesting runs into the interpreter's own bound."""


def encode(frame: ClientFrame | ServerFrame, encoding: Encoding) -> bytes:
    """One frame as the payload of one message; JSON goes out as text, msgpack as binary."""
    if encoding is Encoding.MSGPACK:
        return _msgpack_encoder.encode(frame)
    return _json_encoder.encode(frame)


def decode_client(data: bytes | str, encoding: Encoding, *, size_max: int = FRAME_BYTES_MAX) -> ClientFrame:
    """What a client sent. `data` is text for a text message, bytes for a binary one.

    Raises: Rejected, and nothing else.
    """
    _check_message(data, encoding, size_max)
    try:
        frame: ClientFrame = (
            _msgpack_client.decode(data)  # type: ignore[arg-type]  # _check_message saw to it
            if encoding is Encoding.MSGPACK
            else _json_client.decode(data)
        )
    except _UNDECODABLE as fault:
        raise _rejected(fault, data, encoding, _CLIENT_TYPES) from None
    _check_numbers(frame)
    return frame


def decode_server(
    data: bytes | str, encoding: Encoding, *, size_max: int = SERVER_FRAME_BYTES_MAX
) -> ServerFrame:
    """What a server sent; for clients. Raises: Rejected, and nothing else."""
    _check_message(data, encoding, size_max)
    try:
        frame: ServerFrame = (
            _msgpack_server.decode(data)  # type: ignore[arg-type]  # _check_message saw to it
            if encoding is Encoding.MSGPACK
            else _json_server.decode(data)
        )
    except _UNDECODABLE as fault:
        raise _rejected(fault, data, encoding, _SERVER_TYPES) from None
    return frame


def _check_message(data: bytes | str, encoding: Encoding, size_max: int) -> None:
    is_text = isinstance(data, str)
    if is_text is (encoding is Encoding.MSGPACK):
        sent, wanted = ("text", "binary") if is_text else ("binary", "text")
        raise Rejected(Code.BAD_FRAME, f"a {sent} message was sent; {encoding} frames are {wanted} messages")
    size = len(data)
    # A character is at least one byte, so the cheap count settles most cases.
    if size <= size_max and isinstance(data, str) and not data.isascii():
        size = len(data.encode("utf-8", "surrogatepass"))
    if size > size_max:
        raise Rejected(Code.FRAME_TOO_LARGE, f"a frame of {size} bytes was sent; the limit is {size_max}")


def _check_numbers(frame: ClientFrame) -> None:
    """JSON cannot say NaN, msgpack can; and comparisons with bounds let it through."""
    match frame:
        case Ping():
            numbers: tuple[float | None, ...] = (
                frame.t0_ms,
                frame.rtt_ms,
                frame.clock_offset_ms,
                frame.clock_error_ms,
            )
        case Switched():
            numbers = (frame.at_ms, frame.position_ms)
        case CommandFrame(command=SetSpeed() as command):
            numbers = (command.speed,)
        case _:
            return
    if not all(number is None or isfinite(number) for number in numbers):
        raise Rejected(Code.BAD_FRAME, f"a number of the {type(frame).__name__} frame is not finite")


def _rejected(fault: Exception, data: bytes | str, encoding: Encoding, known: frozenset[str]) -> Rejected:
    if isinstance(fault, RecursionError):
        return Rejected(Code.BAD_FRAME, "the frame is nested too deeply")
    text = str(fault)[:QUOTE_CHARS_MAX]
    if not isinstance(fault, msgspec.ValidationError):
        return Rejected(Code.BAD_FRAME, f"the frame is not {encoding}: {text}")
    # Well formed, but not what a frame looks like. A second look says which kind of wrong; it only happens to
    # frames that are refused, so its cost is the peer's own rate limit.
    tag = _envelope(data, encoding)
    if tag is None:
        return Rejected(Code.BAD_FRAME, f"the frame does not fit: {text}")
    if tag not in known:
        return Rejected(
            Code.UNKNOWN_TYPE, f"a frame of type {tag[:64]!r} was sent; this peer does not know it"
        )
    command = _command_envelope(data, encoding) if tag == "command" and tag in known else None
    if command is None:
        return Rejected(Code.BAD_FRAME, f"the {tag} frame does not fit: {text}")
    details = {"command_id": command.command_id}
    endpoint = command.command.endpoint
    if endpoint not in _ENDPOINTS:
        return Rejected(Code.UNKNOWN_TYPE, f"there is no endpoint {endpoint[:64]!r}", details)
    return Rejected(Code.BAD_REQUEST, f"the {endpoint} command does not fit: {text}", details)


def _envelope(data: bytes | str, encoding: Encoding) -> str | None:
    try:
        if isinstance(data, bytes) and encoding is Encoding.MSGPACK:
            return _msgpack_envelope.decode(data).type
        return _json_envelope.decode(data).type
    except _UNDECODABLE:
        return None


def _command_envelope(data: bytes | str, encoding: Encoding) -> _CommandEnvelope | None:
    try:
        if isinstance(data, bytes) and encoding is Encoding.MSGPACK:
            return _msgpack_command.decode(data)
        return _json_command.decode(data)
    except _UNDECODABLE:
        return None
