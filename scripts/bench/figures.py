"""One measured number with its unit and what it should be, and how several of them are summed up."""

from collections.abc import Sequence
from math import ceil

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    what: str
    value: float
    unit: str
    target: str = ""
    """What it is held to; empty when nothing is promised."""
    note: str = ""
    """How it was measured, as far as that matters for reading it."""


class Skipped(Exception):
    """A benchmark that cannot run here; the message says why."""


def percentile(samples: Sequence[float], rank: float) -> float:
    """The smallest sample that at least `rank` percent do not exceed (nearest rank)."""
    assert samples, "nothing was measured"
    ordered = sorted(samples)
    return ordered[max(0, ceil(len(ordered) * rank / 100) - 1)]


def median(samples: Sequence[float]) -> float:
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def written(value: float) -> str:
    """Three significant digits, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
