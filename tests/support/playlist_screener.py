"""A child process that screens updates and may die; `python -m` of this module is its other end."""

import subprocess
import sys
from pathlib import Path
from struct import pack, unpack
from typing import BinaryIO

from playlists.screen import screen

ROOT = Path(__file__).resolve().parents[2]


class Screener:
    """Asks the child; starts another when it dies."""

    def __init__(self) -> None:
        self.deaths = 0
        self._child = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.playlist_screener"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def is_readable(self, update: bytes) -> bool:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(pack("<I", len(update)) + update)
        self._child.stdin.flush()
        answer = self._child.stdout.read(1)
        if not answer:
            self.deaths += 1
            self.close()
            self._child = self._started()
        return answer == b"y"

    def close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        self._child.wait(timeout=10)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    while head := source.read(4):
        update = source.read(unpack("<I", head)[0])
        sink.write(b"y" if screen(update) is None else b"n")
        sink.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
