"""The mutation fuzzer in a process of its own: a crash of Loro would end it, and shows here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = 2_000
"""`python -m tests.fuzz_playlists 50000` looks harder."""


@pytest.mark.tree
def test_no_broken_update_poisons_the_document() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_playlists", str(INPUTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    last = (run.stdout.strip().splitlines() or [""])[-1]
    assert run.returncode == 0, f"{last}\n{run.stderr[-2000:]}"
    figures = dict(zip(last.split()[::2], map(int, last.split()[1::2]), strict=True))
    assert figures["inputs"] == INPUTS
    assert figures["unreadable"] > INPUTS // 4
    assert figures["refused"] > 0
    assert figures["passed"] > 0, "the mutations are too coarse to get past the header"
