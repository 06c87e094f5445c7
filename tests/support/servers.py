"""Real servers for tests (MongoDB's protocol, Redis, S3): started by scripts/services, ended by their ids."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.support.absent import absent

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "services"
NAMES = ("mongo", "redis", "s3")
GONE_WITHIN_S = 10.0


class Servers:
    """Servers of one folder, on ports that were free. Starts each when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._urls: dict[str, str] = {}
        self._missing: dict[str, str] = {}

    def url(self, name: str) -> str:
        """Its URL, started if need be. Skips the test where it is not installed; fails it where CI is set."""
        if name in self._missing:
            absent(self._missing[name])
        if name not in self._urls:
            self._start(name, _free_port())
        return self._urls[name]

    def kill(self, name: str) -> None:
        """End it as a crash does, and wait until it is gone."""
        pid = self._pid(name)
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        while _runs(pid):
            assert time.monotonic() - began < GONE_WITHIN_S, f"{name} ({pid}) outlived kill -9"
            time.sleep(0.01)

    def restart(self, name: str) -> None:
        """Start it again on its old port and its old data."""
        port = int(self._urls.pop(name).rpartition("@")[2].rpartition(":")[2].partition("/")[0])
        self._start(name, port)

    def stop(self) -> None:
        if self._urls:
            _services("stop", "--dir", str(self._folder))
            self._urls.clear()

    def _pid(self, name: str) -> int:
        return int((self._folder / f"{name}.pid").read_text().split()[0])

    def _start(self, name: str, port: int) -> None:
        # The script counts from MongoDB's port on.
        first = port - NAMES.index(name)
        done = _services("start", "--dir", str(self._folder), "--port", str(first), name)
        if done.returncode:
            self._missing[name] = done.stderr.strip() or f"{name} does not start"
            absent(self._missing[name])
        self._urls[name] = done.stdout.strip().removeprefix(f"{name}: ")


def _services(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child of a script that has ended is somebody's to collect; until then it is there, and dead.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
