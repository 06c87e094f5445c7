"""A whole server in a process of its own, started as a listener would: `segue up` with its demo album.

One that runs already is used when SEGUE_TEST_URL and SEGUE_TEST_DATA name it: for work on the tests.
"""

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
PORTS = 8
"""In a row: the page, the edge, one host, and some to spare."""
READY_WITHIN_S = 180.0
STOPPED_WITHIN_S = 40.0
LOG_TAIL_CHARS = 3_000
SEGUE = (sys.executable, "-m", "serve.cli")


@dataclass(frozen=True)
class Server:
    """One that runs."""

    url: str
    data_dir: Path
    log: Path
    process_id: int | None = None
    """None of one that ran already."""

    def new_user(self) -> tuple[str, str]:
        """`(name, password)` of an account that nobody else uses: its session begins empty."""
        name, password = f"listener-{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        subprocess.run(
            [*SEGUE, "user", "--data", str(self.data_dir), "add", name, "--password-stdin"],
            cwd=ROOT,
            input=password + "\n",
            text=True,
            check=True,
            capture_output=True,
        )
        return name, password


def already_running() -> Server | None:
    """The one that the environment names; None when it names none."""
    url, data = os.environ.get("SEGUE_TEST_URL"), os.environ.get("SEGUE_TEST_DATA")
    return Server(url=url, data_dir=Path(data), log=Path(os.devnull)) if url and data else None


@contextmanager
def running_server(
    folder: Path,
    *,
    port: int | None = None,
    hosts: int = 1,
    music: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start one with all it keeps in `folder`; end it, and nothing else, on the way out.

    `port`: of `free_row`, when it has to be known before. `music`: instead of the demo album. `env`: settings
    beside those that are given here.
    """
    port = port or free_row()
    log = folder / "server.log"
    data_dir = folder / "data"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(*SEGUE, "up", "--port", str(port), "--data", str(data_dir), "--hosts", str(hosts)),
                *(() if music is None else ("--music", str(music))),
            ],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for the tests, which then stop the server in their own order.
            start_new_session=True,
            env={**_without_ray(), "PYTHONUNBUFFERED": "1", **(env or {})},
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, url, log)
            yield Server(url=url, data_dir=data_dir, log=log, process_id=process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _without_ray() -> dict[str, str]:
    """This process's environment, but for what a cluster of these tests has put there for its own Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}:\n{_tail(log)}")
        try:
            with urlopen(f"{url}/healthz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            pass
        time.sleep(0.25)
    raise RuntimeError(f"the server was not ready within {READY_WITHIN_S:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_TAIL_CHARS:]


def free_row() -> int:
    """PORTS ports in a row that nobody uses now; which is chance, so that two runs rarely want the same."""
    rows = range(18_000, 20_900, PORTS)
    for first in random.sample(rows, len(rows)):
        try:
            for port in range(first, first + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no row of free ports between 18000 and 20900")
