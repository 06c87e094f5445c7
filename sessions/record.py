"""What one log record of a session holds, as bytes. A storage format: see the rule in `events.py`."""

import msgspec

from kernel.ids import CommandId
from kernel.units import Millis
from sessions.events import Event


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    events: tuple[Event, ...] = ()
    replies: dict[CommandId, bytes] = {}
    """Command to its stored reply; they are durable together."""
    at_ms: Millis


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """Raises msgspec.DecodeError for what this version cannot read."""
    return _decoder.decode(data)
