"""Logs: structlog for our lines, and the same form for those of uvicorn, websockets and other libraries.

One line for each finished turn, each connection opened and closed, each request; ids and outcomes, never
payloads, tokens or passwords. `_without_secrets` is the net under that rule, not a reason to lean on it.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

from kernel.errors import SegueError
from kernel.units import Clock
from serve.settings import LogFormat, LogLevel, Settings

LIBRARY_LINES_PER_WINDOW = 20
"""Lines that one library may write in a window; websockets logs a traceback per protocol error, so an
attacker could fill the disk."""
LIBRARY_WINDOW_S = 10.0
TEXT_CHARS_MAX = 2_000
"""Longest text in one field; a traceback is not one."""

SECRET_FIELDS = frozenset(
    {"token", "access_token", "ticket", "password", "authorization", "secret", "lease", "cookie", "payload"}
)
HIDDEN = "(hidden)"
# A JWT, and the token in a stream's path: the two that libraries put into texts of their own.
_TOKENS = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<=/s/)[\w-]{40,}")

EventDict = MutableMapping[str, Any]


def set_up(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Configure logging for this process. Called once by whatever starts it; calling it again replaces it."""
    out = sys.stderr if stream is None else stream
    as_json = settings.log_format is LogFormat.JSON or (
        settings.log_format is LogFormat.AUTO and not out.isatty()
    )
    level = _LEVELS[settings.log_level]
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
    ]
    if as_json:
        shared.append(structlog.processors.format_exc_info)
    shared.append(_without_secrets)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(LibraryLimit())
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


class LibraryLimit(logging.Filter):
    """Lets through so many lines per logger and window, and says at its end how many it held back."""

    def __init__(self) -> None:
        super().__init__()
        # Loggers are named by code, not by peers, so this stays small.
        self._windows: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        began_s, count = self._windows.get(record.name, (record.created, 0))
        if record.created - began_s >= LIBRARY_WINDOW_S:
            if count > LIBRARY_LINES_PER_WINDOW:
                held_back = count - LIBRARY_LINES_PER_WINDOW
                record.msg = f"{record.msg} ({held_back} lines before this were held back)"
            began_s, count = record.created, 0
        self._windows[record.name] = (began_s, count + 1)
        return count < LIBRARY_LINES_PER_WINDOW


@contextmanager
def canonical(
    log: Any, event: str, clock: Clock, fields: Mapping[str, object] | None = None
) -> Iterator[dict[str, object]]:
    """One line when the block ends, with `outcome` and `elapsed_ms`; the block adds fields to the yielded
    dict.

    `outcome` is `ok`, the code of a refusal, or `bug` (with the traceback). Raises what the block raises.
    """
    line: dict[str, object] = dict(fields or {})
    began_s = clock.tick_s()

    def elapsed_ms() -> float:
        return round((clock.tick_s() - began_s) * 1000, 3)

    try:
        yield line
    except SegueError as refused:
        log.info(event, **{**line, "outcome": str(refused.code), "elapsed_ms": elapsed_ms()})
        raise
    except Exception:
        log.exception(event, **{**line, "outcome": "bug", "elapsed_ms": elapsed_ms()})
        raise
    log.info(event, **{"outcome": "ok", **line, "elapsed_ms": elapsed_ms()})


def _without_secrets(_: object, __: str, event: EventDict) -> EventDict:
    for field, value in event.items():
        if field.lower() in SECRET_FIELDS:
            event[field] = HIDDEN
        elif isinstance(value, str):
            if "eyJ" in value or "/s/" in value:
                value = _TOKENS.sub(HIDDEN, value)
            # A traceback is long and wanted whole.
            event[field] = value if field == "exception" else value[:TEXT_CHARS_MAX]
        elif isinstance(value, bytes | bytearray):
            event[field] = f"({len(value)} bytes)"
    return event


_LEVELS: Mapping[LogLevel, int] = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
