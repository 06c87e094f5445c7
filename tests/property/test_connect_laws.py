"""Laws of the wire, the clock, the outbox and the replay ring, for whatever hypothesis comes up with."""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect.clock import DRIFT_PPM_MAX, ClockFilter
from connect.codec import Encoding, decode_client, decode_server, encode
from connect.frames import ClientFrame, DeviceInfo, Hello, Limits, Ping, Push, ServerFrame
from connect.link import Closing, Link, LinkState, Refused
from connect.outbox import HARD_BYTES, HIGH_BYTES, LAGGING_S_MAX, LOW_BYTES, Delivery, Outbox, Verdict
from connect.replay import BYTES_MAX, PUSHES_MAX, Replay
from kernel.errors import Rejected
from kernel.ids import DeviceId
from kernel.units import TickS
from tests.wire.samples import CLIENT_FRAMES, SERVER_FRAMES

CLIENT_TYPES = sorted({type(frame) for frame in CLIENT_FRAMES.values()}, key=lambda kind: kind.__name__)
SERVER_TYPES = sorted({type(frame) for frame in SERVER_FRAMES.values()}, key=lambda kind: kind.__name__)
ENCODINGS = st.sampled_from(Encoding)
Draw = Callable[[st.SearchStrategy[Any]], Any]


# --- codec -------------------------------------------------------------------------------------------


def shaken(draw: Draw, value: object) -> object:
    """The value with some leaves drawn anew, of the same kind; where a bound forbids it, decoding says so."""
    if not isinstance(value, dict) and draw(st.integers(0, 3)) > 0:
        return value
    match value:
        case dict():
            return {key: shaken(draw, one) for key, one in value.items()}
        case list():
            return [shaken(draw, one) for one in value[: draw(st.integers(0, len(value)))]]
        case bool():
            return draw(st.booleans())
        case int():
            return draw(st.integers(0, 1 << 45) | st.just(value))
        case float():
            return draw(st.floats(0, 1e15) | st.just(value))
        case str():
            return draw(st.text(max_size=80) | st.just(value))
        case _:
            return value


@st.composite
def shaken_client(draw: st.DrawFn) -> tuple[str, object]:
    name = draw(st.sampled_from(sorted(CLIENT_FRAMES)))
    plain: dict[str, object] = msgspec.to_builtins(CLIENT_FRAMES[name])
    return name, {**{key: shaken(draw, one) for key, one in plain.items()}, "type": plain["type"]}


@given(shaken_client(), ENCODINGS)
def test_a_client_frame_comes_back_as_it_was(drawn: tuple[str, object], encoding: Encoding) -> None:
    _, plain = drawn
    packed: bytes | str = (
        msgspec.msgpack.encode(plain) if encoding is Encoding.MSGPACK else msgspec.json.encode(plain).decode()
    )
    try:
        frame = decode_client(packed, encoding)
    except Rejected:
        return
    for other in Encoding:
        written = encode(frame, other)
        assert decode_client(written if other is Encoding.MSGPACK else written.decode(), other) == frame


@given(st.sampled_from(sorted(SERVER_FRAMES)), st.data(), ENCODINGS)
def test_a_server_frame_comes_back_as_it_was(name: str, data: st.DataObject, encoding: Encoding) -> None:
    plain: dict[str, object] = msgspec.to_builtins(SERVER_FRAMES[name])
    drawn = {key: shaken(data.draw, one) for key, one in plain.items()} | {"type": plain["type"]}
    try:
        frame: ServerFrame = msgspec.convert(drawn, ServerFrame)
    except msgspec.ValidationError:
        return
    written = encode(frame, encoding)
    assert decode_server(written if encoding is Encoding.MSGPACK else written.decode(), encoding) == frame


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
TYPED = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(str(kind.__struct_config__.tag) for kind in CLIENT_TYPES))},
    optional={
        "command_id": st.text(),
        "command": VALUES,
        "device": VALUES,
        "t0_ms": VALUES,
        "handoff_id": VALUES,
    },
)


@given(st.binary(max_size=400) | (VALUES | TYPED).map(msgspec.msgpack.encode))
def test_whatever_bytes_come_decoding_gives_a_frame_or_rejects(data: bytes) -> None:
    for decode in (decode_client, decode_server):
        for encoding in Encoding:
            with suppress(Rejected):
                decode(data, encoding)


@given(st.text(max_size=400) | (VALUES | TYPED).map(lambda value: json.dumps(value, default=repr)))
def test_whatever_text_comes_decoding_gives_a_frame_or_rejects(data: str) -> None:
    for decode in (decode_client, decode_server):
        for encoding in Encoding:
            with suppress(Rejected):
                decode(data, encoding)


@given(st.sampled_from(sorted(CLIENT_FRAMES)), st.data())
def test_a_frame_with_a_few_bytes_changed_never_breaks_the_link(name: str, data: st.DataObject) -> None:
    packed = bytearray(encode(CLIENT_FRAMES[name], Encoding.MSGPACK))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    link = Link(Encoding.MSGPACK, tick_s=TickS(0.0), limits=Limits())
    link.accept(hello(), TickS(0.0))
    outcome = link.receive(bytes(packed), TickS(0.0))
    assert isinstance(outcome, ClientFrame | Refused | Closing)
    assert (link.state is LinkState.CLOSED) is isinstance(outcome, Closing)


def hello() -> Hello:
    device = DeviceInfo(device_id=DeviceId("dev-00001"), name="x")
    return Hello(ticket="t", device=device, connection_nonce="nonce-01")


# --- rates -------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 2), min_size=1, max_size=300))
def test_no_pattern_of_sending_gets_more_through_than_a_burst_and_the_rate(pauses: list[float]) -> None:
    limits = Limits(frames_per_s=5, frames_burst=10)
    link = Link(Encoding.MSGPACK, tick_s=TickS(0.0), limits=limits)
    link.accept(hello(), TickS(0.0))
    now, through = 0.0, 0
    for pause in pauses:
        now += pause
        through += link.accept(Ping(t0_ms=0.0), TickS(now)) == Ping(t0_ms=0.0)
        assert through <= limits.frames_burst + now * limits.frames_per_s + 1e-6


# --- outbox ------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.sampled_from([*Delivery, None]), st.integers(0, HARD_BYTES + 10), st.floats(0, 4)),
        max_size=60,
    )
)
def test_what_a_slow_consumer_sees_last_is_never_older_than_what_was_held(
    steps: list[tuple[Delivery | None, int, float]],
) -> None:
    outbox, now, held_since = Outbox(), 0.0, None
    for kind, buffered, pause in steps:
        now += pause
        verdict = (
            outbox.poll(buffered=buffered, tick_s=TickS(now))
            if kind is None
            else outbox.offer(kind, buffered=buffered, tick_s=TickS(now))
        )
        if verdict is Verdict.CLOSE:
            # Never without cause.
            too_long = held_since is not None and now - held_since > LAGGING_S_MAX and buffered > LOW_BYTES
            assert buffered > HARD_BYTES or too_long
            return
        if kind is Delivery.MUST:
            assert verdict is Verdict.SEND
        if kind is Delivery.STATE and verdict is Verdict.HOLD and held_since is None:
            assert buffered > HIGH_BYTES
            held_since = now
        if verdict is Verdict.RESYNC:
            assert held_since is not None
            assert buffered <= LOW_BYTES
            held_since = None
        if kind is Delivery.STATE and verdict is Verdict.SEND:
            assert held_since is None  # a push on top of a state that was never shown would be wrong
        assert outbox.is_lagging is (held_since is not None)


# --- replay ------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, BYTES_MAX // 3), st.integers(1, 3), st.booleans()), max_size=400),
    st.integers(-5, 900),
)
def test_a_resume_gets_exactly_what_was_missed_or_nothing_at_all(
    grown: list[tuple[int, int, bool]], seq: int
) -> None:
    ring = Replay(owner_epoch=1, seq=10)
    sent: list[tuple[Push, int]] = []
    for size, by, seen in grown:
        if seen:
            push = Push(owner_epoch=1, seq=ring.seq + by, durable=True)
            ring.append(push, size=size)
            sent.append((push, size))
        else:
            ring.advance(ring.seq + by)
    # As many of the newest as both bounds allow; what lies before the first of them is forgotten.
    kept = len(sent)
    while kept and (kept > PUSHES_MAX or sum(size for _, size in sent[-kept:]) > BYTES_MAX):
        kept -= 1
    floor = sent[-kept - 1][0].seq if kept < len(sent) else 10
    missed = ring.since(owner_epoch=1, seq=seq)
    if floor <= seq <= ring.seq:
        assert missed == [push for push, _ in sent if push.seq > seq]
    else:
        assert missed is None


@given(st.integers(1, PUSHES_MAX), st.integers(0, PUSHES_MAX))
def test_a_small_absence_is_always_replayed(count: int, back: int) -> None:
    ring = Replay(owner_epoch=1, seq=0)
    for seq in range(1, count + 1):
        ring.append(Push(owner_epoch=1, seq=seq, durable=True), size=BYTES_MAX // PUSHES_MAX)
    away = max(0, count - back)
    missed = ring.since(owner_epoch=1, seq=away)
    assert missed is not None
    assert [push.seq for push in missed] == list(range(away + 1, count + 1))


# --- clock -------------------------------------------------------------------------------------------

WAYS = st.floats(0, 2_000)


@given(
    st.floats(-1e9, 1e9),
    st.floats(-DRIFT_PPM_MAX / 2, DRIFT_PPM_MAX / 2),
    st.lists(st.tuples(WAYS, st.floats(0, 50), WAYS, st.floats(0, 60_000)), min_size=1, max_size=30),
)
def test_the_true_offset_is_within_the_error_however_unequal_the_ways_are(
    offset_ms: float, drift_ppm: float, pings: list[tuple[float, float, float, float]]
) -> None:
    """The device's clock is `offset` ahead of the server's and gains `drift` against it."""

    def device_ms(server_ms: float) -> float:
        return server_ms * (1 + drift_ppm / 1e6) + offset_ms

    clock, now_ms = ClockFilter(), 1_000.0
    for there_ms, work_ms, back_ms, pause_ms in pings:
        t0, t1 = now_ms, now_ms + there_ms
        t2 = t1 + work_ms
        t3 = t2 + back_ms
        estimate = clock.add(t0_ms=device_ms(t0), t1_ms=t1, t2_ms=t2, t3_ms=device_ms(t3))
        true_ms = device_ms(t3) - t3
        # A millionth of a second for the arithmetic of large numbers.
        assert abs(estimate.offset_ms - true_ms) <= estimate.error_ms + 1e-3
        now_ms = t3 + pause_ms
        later = clock.estimate(device_ms(now_ms))
        assert later is not None
        assert abs(later.offset_ms - (device_ms(now_ms) - now_ms)) <= later.error_ms + 1e-3


@given(st.floats(-1e6, 1e6), st.floats(10_000, 1e9), st.floats(0, 100))
def test_a_clock_that_was_set_is_believed_anew_at_once(
    offset_ms: float, step_ms: float, rtt_ms: float
) -> None:
    clock = ClockFilter()
    for n in range(8):
        at = n * 1_000.0
        clock.add(t0_ms=at + offset_ms, t1_ms=at, t2_ms=at, t3_ms=at + offset_ms)
    moved = offset_ms + step_ms
    estimate = clock.add(
        t0_ms=9_000.0 + moved,
        t1_ms=9_000.0 + rtt_ms / 2,
        t2_ms=9_000.0 + rtt_ms / 2,
        t3_ms=9_000.0 + rtt_ms + moved,
    )
    assert math.isclose(estimate.offset_ms, moved, abs_tol=1e-3)


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_server_time_and_device_time_are_each_others_inverse(offset_ms: float, at_ms: float) -> None:
    clock = ClockFilter()
    assert clock.server_ms(at_ms) == clock.device_ms(at_ms) == at_ms
    clock.add(t0_ms=offset_ms, t1_ms=1.0, t2_ms=1.0, t3_ms=offset_ms + 2.0)
    assert clock.device_ms(clock.server_ms(at_ms)) == pytest.approx(at_ms, abs=1e-3)
