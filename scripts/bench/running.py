"""A server as `segue up` starts it, on free ports; stopped by its pid."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import sample
from typing import NamedTuple

import httpx

from scripts.bench.figures import Skipped

READY_WITHIN_S = 300.0
"""The first start composes and takes in an album."""
STOP_WITHIN_S = 60.0
LOOK_EVERY_S = 0.25


class Server(NamedTuple):
    """A running one."""

    url: str
    password: str
    """Of the demo account."""
    started_s: float
    """From its start until it answered."""


@contextmanager
def folder() -> Iterator[Path]:
    """Somewhere to work; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as path:
        yield Path(path)


@contextmanager
def running(data_dir: Path, *arguments: str) -> Iterator[Server]:
    """On `data_dir`, made when it is not there; its log is beside it."""
    port = free_ports(8)
    log = data_dir.with_suffix(".log")
    began = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "serve.cli",
                "up",
                "--data",
                str(data_dir),
                "--port",
                str(port),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url, log)
        started_s = time.monotonic() - began
        yield Server(url, (data_dir / "demo-login").read_text().strip(), started_s)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            # Its own session: nothing in this group was started by anybody else.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise Skipped(f"segue up ended with {process.returncode}: {' / '.join(last)}")
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/v1/markets", timeout=2, trust_env=False).status_code in (200, 401):
                return
        time.sleep(LOOK_EVERY_S)
    raise Skipped(f"segue up was not ready within {READY_WITHIN_S:.0f} s")


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on; another row at every call."""
    for first in sample(range(18_000, 30_000, count), k=200):
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
    raise Skipped("no free ports")
