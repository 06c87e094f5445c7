"""A process of the benchmark's own, spoken to in lines of JSON; ended by its pid, whatever happens."""

import json
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Self

ANSWER_WITHIN_S = 120.0
END_WITHIN_S = 10.0


class Child:
    """`python -m <module> <arguments>`, pinned to `cores` when given. Its first line says it is ready."""

    def __init__(self, module: str, *arguments: str, cores: set[int] | None = None) -> None:
        self._module = module
        self._arguments = arguments
        self._cores = cores
        self._process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Its own group: a Ctrl-C at the terminal is ours to pass on, in order.
            start_new_session=True,
        )
        if self._cores:
            os.sched_setaffinity(self._process.pid, self._cores)
        try:
            self.ready = self._read()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def pid(self) -> int:
        assert self._process is not None, "entered before it is used"
        return self._process.pid

    def ask(self, **question: object) -> dict[str, Any]:
        """One line there, one line back."""
        assert self._process is not None, "entered before it is used"
        assert self._process.stdin is not None, "opened with a pipe"
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        process = self._process
        assert process is not None, "entered before it is used"
        assert process.stdout is not None, "opened with a pipe"
        # A child that hangs must not hang us: the watchdog ends it, and the read ends with it.
        watchdog = threading.Timer(ANSWER_WITHIN_S, process.kill)
        watchdog.start()
        try:
            line = process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise RuntimeError(f"{self._module} ended without an answer (status {process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self._module}: {answer['error']}")
        return answer


def cores_for_two() -> tuple[set[int] | None, set[int] | None]:
    """One core for the server and another for the generator; None where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, {cores[1]}) if len(cores) >= 2 else (None, None)
