"""What slow consumers get, what a resume gets, and what close codes say."""

import pytest

from connect.close_codes import close_code, close_reason, parse_close_reason, should_reconnect
from connect.frames import Abort, Pong, Push
from connect.outbox import HARD_BYTES, HIGH_BYTES, LOW_BYTES, Delivery, Outbox, Verdict, delivery
from connect.replay import BYTES_MAX, PUSHES_MAX, Replay
from kernel.errors import TABLE, Code
from kernel.ids import HandoffId
from kernel.units import Millis, TickS
from tests.wire.samples import SERVER_FRAMES

T0 = TickS(70.0)


def push(seq: int) -> Push:
    return Push(owner_epoch=4, seq=seq, durable=True)


def replay(*seqs: int) -> Replay:
    made = Replay(owner_epoch=4, seq=100)
    for seq in seqs:
        made.append(push(seq), size=100)
    return made


def seqs(missed: list[Push] | None) -> list[int] | None:
    return None if missed is None else [one.seq for one in missed]


# --- outbox ------------------------------------------------------------------------------------------


def test_every_server_frame_has_a_kind() -> None:
    kinds = {str(frame.__struct_config__.tag): delivery(frame) for frame in SERVER_FRAMES.values()}
    assert {tag for tag, kind in kinds.items() if kind is Delivery.STATE} == {"push", "snapshot"}
    assert {tag for tag, kind in kinds.items() if kind is Delivery.SPARE} == {"pong"}
    assert delivery(Pong(t0_ms=0.0, t1_ms=0.0, t2_ms=0.0)) is Delivery.SPARE
    assert delivery(Abort(handoff_id=HandoffId("h"), reason="r")) is Delivery.MUST


def test_a_consumer_that_keeps_up_gets_everything() -> None:
    ours = Outbox()
    for kind in Delivery:
        assert ours.offer(kind, buffered=HIGH_BYTES, tick_s=T0) is Verdict.SEND
    assert not ours.is_lagging


def test_above_the_high_mark_state_is_held_and_the_rest_goes_on() -> None:
    ours = Outbox()
    assert ours.offer(Delivery.STATE, buffered=HIGH_BYTES + 1, tick_s=T0) is Verdict.HOLD
    assert ours.is_lagging
    assert ours.offer(Delivery.MUST, buffered=HIGH_BYTES + 1, tick_s=T0) is Verdict.SEND
    assert ours.offer(Delivery.SPARE, buffered=HIGH_BYTES + 1, tick_s=T0) is Verdict.HOLD


def test_half_drained_is_not_drained() -> None:
    ours = Outbox()
    ours.offer(Delivery.STATE, buffered=HIGH_BYTES + 1, tick_s=T0)
    assert ours.offer(Delivery.STATE, buffered=LOW_BYTES + 1, tick_s=T0) is Verdict.HOLD


@pytest.mark.parametrize("by_push", [True, False])
def test_a_drained_consumer_gets_one_snapshot_for_all_it_missed(by_push: bool) -> None:
    ours = Outbox()
    for _ in range(50):
        ours.offer(Delivery.STATE, buffered=HIGH_BYTES + 1, tick_s=T0)
    verdict = (
        ours.offer(Delivery.STATE, buffered=LOW_BYTES, tick_s=T0)
        if by_push
        else ours.poll(buffered=LOW_BYTES, tick_s=T0)
    )
    assert verdict is Verdict.RESYNC
    assert not ours.is_lagging
    assert ours.offer(Delivery.STATE, buffered=LOW_BYTES, tick_s=T0) is Verdict.SEND
    assert ours.poll(buffered=LOW_BYTES, tick_s=T0) is Verdict.HOLD


def test_ten_seconds_of_lagging_end_the_connection_unless_it_has_drained() -> None:
    for buffered, verdict in ((LOW_BYTES + 1, Verdict.CLOSE), (LOW_BYTES, Verdict.RESYNC)):
        ours = Outbox()
        ours.offer(Delivery.STATE, buffered=HIGH_BYTES + 1, tick_s=T0)
        assert ours.poll(buffered=HIGH_BYTES, tick_s=TickS(T0 + 10)) is Verdict.HOLD
        assert ours.poll(buffered=buffered, tick_s=TickS(T0 + 10.1)) is verdict


def test_a_connection_that_holds_a_mebibyte_is_beyond_help() -> None:
    for kind in Delivery:
        assert Outbox().offer(kind, buffered=HARD_BYTES + 1, tick_s=T0) is Verdict.CLOSE
    assert Outbox().poll(buffered=HARD_BYTES + 1, tick_s=T0) is Verdict.CLOSE


# --- replay ------------------------------------------------------------------------------------------


def test_who_missed_nothing_gets_nothing() -> None:
    assert seqs(replay().since(owner_epoch=4, seq=100)) == []
    assert seqs(replay(101, 102).since(owner_epoch=4, seq=102)) == []


def test_who_was_away_gets_exactly_the_rest() -> None:
    assert seqs(replay(101, 102, 103).since(owner_epoch=4, seq=101)) == [102, 103]


def test_an_older_owner_epoch_is_the_same_history() -> None:
    assert seqs(replay(101, 102).since(owner_epoch=2, seq=100)) == [101, 102]


def test_what_cannot_be_told_is_none() -> None:
    ours = replay(101, 102)
    assert ours.since(owner_epoch=4, seq=99) is None  # older than the ring
    assert ours.since(owner_epoch=4, seq=103) is None  # from the future
    assert ours.since(owner_epoch=5, seq=101) is None  # somebody else's history


def test_a_record_that_nobody_saw_leaves_no_hole() -> None:
    ours = replay(101)
    ours.advance(105)
    ours.append(push(106), size=1)
    assert seqs(ours.since(owner_epoch=4, seq=101)) == [106]
    assert seqs(ours.since(owner_epoch=4, seq=103)) == [106]


def test_the_ring_is_bounded_in_pushes_and_in_bytes() -> None:
    ours = replay(*range(101, 101 + PUSHES_MAX + 10))
    assert ours.since(owner_epoch=4, seq=109) is None
    missed = ours.since(owner_epoch=4, seq=110)
    assert missed is not None
    assert len(missed) == PUSHES_MAX
    ours = Replay(owner_epoch=4, seq=0)
    for seq in range(1, 11):
        ours.append(push(seq), size=BYTES_MAX // 4)
    assert seqs(ours.since(owner_epoch=4, seq=6)) == [7, 8, 9, 10]
    assert ours.since(owner_epoch=4, seq=5) is None


def test_a_push_larger_than_the_ring_empties_it_and_the_next_one_counts_again() -> None:
    ours = replay(101)
    ours.append(push(102), size=BYTES_MAX + 1)
    assert ours.since(owner_epoch=4, seq=101) is None
    assert seqs(ours.since(owner_epoch=4, seq=102)) == []
    ours.append(push(103), size=1)
    assert seqs(ours.since(owner_epoch=4, seq=102)) == [103]


def test_seq_never_goes_back_and_volatile_pushes_are_not_kept() -> None:
    with pytest.raises(AssertionError):
        replay(101, 101)
    with pytest.raises(AssertionError):
        replay().append(Push(owner_epoch=4, seq=101), size=1)


# --- close codes -------------------------------------------------------------------------------------


def test_the_range_of_a_close_code_says_what_the_table_says() -> None:
    for code, meaning in TABLE.items():
        if meaning.close is not None:
            assert should_reconnect(close_code(code)) is meaning.retry, code


def test_a_lost_connection_is_mended_and_a_normal_end_is_not() -> None:
    assert should_reconnect(1006)
    assert should_reconnect(1012)
    assert not should_reconnect(1000)


def test_close_reasons_say_how_long_to_wait() -> None:
    for code in Code:
        for wait in (None, Millis(0), Millis(300_000)):
            reason = close_reason(code, wait)
            assert len(reason.encode()) <= 123
            assert parse_close_reason(reason) == (code, wait)
    assert parse_close_reason("going away, bye") == ("going", None)
    assert parse_close_reason("") == ("", None)


def test_no_two_codes_end_a_connection_with_one_number() -> None:
    numbers = [meaning.close for meaning in TABLE.values() if meaning.close is not None]
    assert len(numbers) == len(set(numbers))
