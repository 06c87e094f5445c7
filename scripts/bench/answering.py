"""The other end of `scripts.bench.child`: answers lines of JSON on standard input until it ends."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

LINE_BYTES_MAX = 8 * 1024 * 1024
Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def answer_until_the_end(answer: Answer) -> None:
    """Returns when standard input is closed, which is also what a dead parent looks like."""
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        try:
            said = await answer(json.loads(line))
        except Exception as fault:  # the parent is told, and decides
            said = {"error": f"{type(fault).__name__}: {fault}"}
        say(**said)
