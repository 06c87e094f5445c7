"""One connection's rules: hello first and once, deadlines, rates."""

import pytest

from connect.codec import Encoding, encode
from connect.frames import (
    ClientFrame,
    CommandFrame,
    DeviceInfo,
    ErrorFrame,
    Goodbye,
    GoodbyeReason,
    Hello,
    Limits,
    Ping,
    Reply,
)
from connect.link import Closing, Link, LinkState, Refused
from kernel.errors import Code, Rejected
from kernel.ids import CommandId, DeviceId
from kernel.units import TickS
from sessions.commands import Pause

LIMITS = Limits()
HELLO = Hello(
    ticket="t", device=DeviceInfo(device_id=DeviceId("dev-00001"), name="x"), connection_nonce="nonce-01"
)
PAUSE = CommandFrame(command_id=CommandId("command-1"), command=Pause())
PING = Ping(t0_ms=1.0)
START = TickS(500.0)


def after(seconds: float) -> TickS:
    return TickS(START + seconds)


def link(*, is_open: bool = True) -> Link:
    made = Link(Encoding.MSGPACK, tick_s=START, limits=LIMITS)
    if is_open:
        assert send(made, HELLO) == HELLO
    return made


def send(to: Link, frame: ClientFrame, tick_s: TickS = START) -> object:
    return to.receive(encode(frame, to.encoding), tick_s)


def closed_by(outcome: object) -> Code:
    assert isinstance(outcome, Closing)
    assert isinstance(outcome.answer, ErrorFrame)
    assert outcome.reason.startswith(outcome.answer.error.code)
    return outcome.answer.error.code


def test_hello_opens_and_frames_go_through() -> None:
    ours = link()
    assert send(ours, PAUSE) == PAUSE
    assert send(ours, PING) == PING
    assert ours.state is LinkState.OPEN


@pytest.mark.parametrize("frame", [PAUSE, PING, Goodbye(reason=GoodbyeReason.SHUTDOWN)])
def test_anything_before_hello_ends_the_connection(frame: ClientFrame) -> None:
    ours = link(is_open=False)
    assert closed_by(send(ours, frame)) is Code.OUT_OF_ORDER
    assert send(ours, HELLO) is None


def test_an_unknown_type_before_hello_ends_the_connection() -> None:
    ours = Link(Encoding.JSON, tick_s=START, limits=LIMITS)
    assert closed_by(ours.receive('{"type":"teleport"}', START)) is Code.OUT_OF_ORDER


def test_a_second_hello_ends_the_connection() -> None:
    ours = link()
    assert closed_by(send(ours, HELLO)) is Code.OUT_OF_ORDER
    assert ours.state is LinkState.CLOSED


def test_hello_has_its_deadline() -> None:
    ours = link(is_open=False)
    assert ours.deadline_tick_s() == after(10)
    assert ours.overdue(after(9.99)) is None
    assert closed_by(ours.overdue(after(10))) is Code.TIMEOUT


def test_a_minute_of_silence_ends_the_connection_and_any_frame_is_a_sign_of_life() -> None:
    ours = link()
    assert send(ours, PING, after(59)) == PING
    assert ours.overdue(after(60)) is None
    assert closed_by(ours.overdue(after(119))) is Code.TIMEOUT


def test_after_goodbye_nothing_more_is_read() -> None:
    ours = link()
    assert isinstance(send(ours, Goodbye(reason=GoodbyeReason.SHUTDOWN)), Goodbye)
    assert send(ours, PAUSE) is None
    assert ours.overdue(after(1_000)) is None
    assert ours.deadline_tick_s() is None


def test_an_unknown_type_gets_an_error_and_the_connection_stays() -> None:
    ours = Link(Encoding.JSON, tick_s=START, limits=LIMITS)
    ours.accept(HELLO, START)
    outcome = ours.receive('{"type":"teleport"}', START)
    assert isinstance(outcome, Refused)
    assert isinstance(outcome.answer, ErrorFrame)
    assert outcome.answer.error.code is Code.UNKNOWN_TYPE
    assert ours.accept(PAUSE, START) == PAUSE


def test_errors_outside_commands_come_at_most_once_a_second() -> None:
    ours = Link(Encoding.JSON, tick_s=START, limits=LIMITS)
    ours.accept(HELLO, START)
    answers = [ours.receive('{"type":"teleport"}', after(n / 10)) for n in range(30)]
    assert sum(isinstance(answer, Refused) for answer in answers) == 3


def test_a_command_that_does_not_fit_is_replied_to() -> None:
    ours = Link(Encoding.JSON, tick_s=START, limits=LIMITS)
    ours.accept(HELLO, START)
    outcome = ours.receive(
        '{"type":"command","command_id":"command-1","command":{"endpoint":"seek_to"}}', START
    )
    assert isinstance(outcome, Refused)
    assert isinstance(outcome.answer, Reply)
    assert (outcome.answer.command_id, outcome.answer.ok) == ("command-1", False)
    assert outcome.answer.error is not None
    assert outcome.answer.error.code is Code.BAD_REQUEST


def test_an_undecodable_frame_ends_the_connection() -> None:
    ours = link()
    assert closed_by(ours.receive(b"\xc1", START)) is Code.BAD_FRAME
    assert closed_by(link().receive(b"x" * 70_000, START)) is Code.FRAME_TOO_LARGE


def test_a_burst_goes_through_and_the_next_command_is_told_how_long_to_wait() -> None:
    ours = link()
    assert all(send(ours, PAUSE) == PAUSE for _ in range(60))
    outcome = send(ours, PAUSE)
    assert isinstance(outcome, Refused)
    assert isinstance(outcome.answer, Reply)
    error = outcome.answer.error
    assert error is not None
    assert error.code is Code.RATE_LIMITED
    assert error.retry_after_ms is not None
    assert 50 <= error.retry_after_ms <= 52
    assert send(ours, PAUSE, after(error.retry_after_ms / 1000)) == PAUSE


def test_the_limit_is_a_rate_and_not_a_quota() -> None:
    ours = link()
    # One in 51 ms is under 20 a second, for as long as one likes.
    assert all(send(ours, PAUSE, after(n * 0.051)) == PAUSE for n in range(2_000))


def test_commands_over_the_limit_do_not_silence_reports() -> None:
    ours = link()
    for _ in range(100):
        send(ours, PAUSE)
    assert send(ours, PING) == PING


def test_pings_over_the_limit_get_one_error_and_are_dropped() -> None:
    ours = link()
    outcomes = [send(ours, PING) for _ in range(100)]
    assert outcomes.count(PING) == 59  # hello took one
    errors = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(errors) == 1
    assert isinstance(errors[0].answer, ErrorFrame)
    assert errors[0].answer.error.code is Code.RATE_LIMITED


@pytest.mark.parametrize("frame", [PAUSE, PING])
def test_ten_thousand_frames_a_second_end_the_connection_within_a_tenth_of_one(frame: ClientFrame) -> None:
    ours = link()
    outcomes = [send(ours, frame, after(n / 10_000)) for n in range(1_000)]
    ends = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Closing)]
    assert len(ends) == 1
    assert ends[0] < 300
    assert closed_by(outcomes[ends[0]]) is Code.FLOODED
    assert all(outcome is None for outcome in outcomes[ends[0] + 1 :])


def test_a_client_that_is_a_little_too_fast_is_refused_but_never_cut_off() -> None:
    ours = link()
    # A tenth over the limit, for ten minutes.
    outcomes = [send(ours, PAUSE, after(n / 22)) for n in range(22 * 600)]
    assert not any(isinstance(outcome, Closing) for outcome in outcomes)
    assert any(isinstance(outcome, Refused) for outcome in outcomes)


def test_the_shell_can_refuse_with_or_without_an_end() -> None:
    ours = link()
    assert closed_by(ours.refuse(Rejected(Code.UNAUTHORIZED, "bad ticket"))) is Code.UNAUTHORIZED
    assert ours.state is LinkState.CLOSED
    ours = link()
    assert isinstance(ours.refuse(Rejected(Code.NOT_ACTIVE, "no")), Refused)
    assert ours.state is LinkState.OPEN
