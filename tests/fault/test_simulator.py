"""Histories by the hundred under a clock that a seed owns, and proof that a broken invariant would be seen.

A seed that fails here is told by `python -m tests.simulate --seed S --trace`.
"""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulate.histories import History, history
from tests.simulate.mutations import MUTATIONS, found_within

SEEDS = 400
MUTATION_SEEDS_MAX = 60


@pytest.mark.timeout(600)
def test_no_history_breaks_an_invariant() -> None:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found: list[History] = list(pool.map(history, range(1, SEEDS + 1), chunksize=10))
    assert [f"seed {each.seed}: {each.broken}" for each in found if each.broken] == []
    # Something happened in them.
    said = [line.split(maxsplit=1)[1] for each in found for line in each.trace]
    for trouble in ("kill", "freeze", "cut", "drain", "the store goes away"):
        assert sum(line.startswith(trouble) for line in said) > SEEDS / 4
    assert sum("AddToQueue: done" in line for line in said) > 10 * SEEDS
    assert sum("Transfer: done" in line for line in said) > SEEDS / 2


def test_the_same_seed_is_the_same_history_in_every_process() -> None:
    here = history(7)
    assert history(7).digest == here.digest
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulate", "--seed", "7"],
        env=os.environ | {"PYTHONHASHSEED": "4321"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert here.digest[:16] in told
    assert history(8).digest != here.digest


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTATIONS)
def test_an_invariant_that_is_broken_on_purpose_is_found(name: str) -> None:
    seeds, broken = found_within(name, MUTATION_SEEDS_MAX)
    assert seeds, f"not found in {MUTATION_SEEDS_MAX} seeds"
    assert broken.partition(":")[0] in MUTATIONS[name][1]
