"""Logs: one line per thing that ended, no secret in any, and no flood from libraries."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from kernel.errors import Code, Rejected
from serve.logs import LIBRARY_LINES_PER_WINDOW, LibraryLimit, canonical, set_up
from serve.settings import LogFormat, LogLevel, Settings
from tests.support.clock import FakeClock

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
LEASE = "mapsZWFzZS0x" * 8


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    set_up(Settings(log_format=LogFormat.JSON), stream=stream)
    yield stream
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_finished_piece_of_work_is_one_line_with_its_outcome_and_time(out: io.StringIO) -> None:
    clock = FakeClock()
    with canonical(
        structlog.get_logger(), "turn", clock, {"session_id": "s1", "command": "session.seek"}
    ) as line:
        clock.advance(12)
        line["revision"] = 7
    [written] = lines(out)
    assert written.pop("at").endswith("Z")
    assert written == {
        "event": "turn",
        "level": "info",
        "session_id": "s1",
        "command": "session.seek",
        "revision": 7,
        "outcome": "ok",
        "elapsed_ms": 12.0,
    }


def test_a_refusal_is_no_error_and_a_bug_has_its_traceback(out: io.StringIO) -> None:
    log, clock = structlog.get_logger(), FakeClock()
    with pytest.raises(Rejected), canonical(log, "turn", clock):
        raise Rejected(Code.STALE_EPOCH, "too old")
    with pytest.raises(ZeroDivisionError), canonical(log, "turn", clock):
        _ = 1 // 0
    refused, bug = lines(out)
    assert (refused["level"], refused["outcome"]) == ("info", "STALE_EPOCH")
    assert (bug["level"], bug["outcome"]) == ("error", "bug")
    assert "ZeroDivisionError" in bug["exception"]


def test_no_secret_reaches_a_line(out: io.StringIO) -> None:
    structlog.get_logger().warning(
        f"bad token {JWT}", ticket=JWT, password="hunter22", Authorization=f"Bearer {JWT}", frame=b"\0" * 99
    )
    logging.getLogger("uvicorn.error").warning("GET /s/%s/aac-160.mp4 refused", LEASE)
    text = out.getvalue()
    for secret in (JWT, "hunter22", LEASE):
        assert secret not in text
    assert lines(out)[0]["frame"] == "(99 bytes)"
    assert lines(out)[1]["event"] == "GET /s/(hidden)/aac-160.mp4 refused"


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    set_up(Settings(log_format=LogFormat.CONSOLE, log_level=LogLevel.WARNING), stream=stream)
    try:
        structlog.get_logger().info("quiet")
        structlog.get_logger().warning("loud")
        assert "quiet" not in stream.getvalue()
        assert "loud" in stream.getvalue()
    finally:
        structlog.reset_defaults()
        logging.basicConfig(handlers=[], force=True)


def test_a_library_that_floods_is_held_back_and_the_count_is_told() -> None:
    limit = LibraryLimit()

    def record(at_s: float, name: str = "websockets") -> logging.LogRecord:
        made = logging.LogRecord(name, logging.ERROR, "", 0, "protocol error", None, None)
        made.created = at_s
        return made

    kept = [limit.filter(record(100.0 + number / 1000)) for number in range(1000)]
    assert kept == [True] * LIBRARY_LINES_PER_WINDOW + [False] * (1000 - LIBRARY_LINES_PER_WINDOW)
    assert limit.filter(record(100.5, "uvicorn"))
    later = record(111.0)
    assert limit.filter(later)
    assert f"{1000 - LIBRARY_LINES_PER_WINDOW} lines" in later.getMessage()
