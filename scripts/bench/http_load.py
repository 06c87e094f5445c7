"""Closed-loop HTTP load over kept connections, as lean as it can be: what is measured is the server."""

import asyncio
import itertools
import time
from typing import Any
from urllib.parse import urlsplit

HEAD_BYTES_MAX = 64 * 1024


async def http_load(question: dict[str, Any]) -> dict[str, Any]:
    """One connection for each token, one request in flight on each; `requests` take turns there."""
    parts = urlsplit(question["url"])
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    statuses: dict[int, int] = {}
    samples_ms: list[float] = []
    ends = time.perf_counter() + question["warm_up_s"] + question["seconds"]
    counts_from = time.perf_counter() + question["warm_up_s"]

    async def one(token: str) -> None:
        heads = [_head(method, target, f"{host}:{port}", token) for method, target in question["requests"]]
        turns = itertools.cycle(heads)
        reader, writer = await asyncio.open_connection(host, port, limit=HEAD_BYTES_MAX)
        try:
            while (began := time.perf_counter()) < ends:
                writer.write(next(turns))
                status = await _answer(reader)
                if began >= counts_from:
                    samples_ms.append((time.perf_counter() - began) * 1000)
                    statuses[status] = statuses.get(status, 0) + 1
        finally:
            writer.close()

    cpu = time.process_time()
    await asyncio.gather(*(one(token) for token in question["tokens"]))
    cpu = time.process_time() - cpu
    return {
        "per_s": len(samples_ms) / question["seconds"],
        "ms": samples_ms,
        "statuses": statuses,
        "cpu_share": cpu / (question["seconds"] + question["warm_up_s"]),
    }


def _head(method: str, target: str, host: str, token: str) -> bytes:
    length = "" if method == "GET" else "Content-Length: 0\r\n"
    return (
        f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
        f"Authorization: Bearer {token}\r\n{length}\r\n"
    ).encode()


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    for line in head.split("\r\n"):
        if line.startswith("content-length:"):
            await reader.readexactly(int(line.split(":", 1)[1]))
            return status
    if "transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return status
