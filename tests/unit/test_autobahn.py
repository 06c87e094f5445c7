"""How the Autobahn suite's report is read. The suite itself runs by `scripts/conformance`."""

import pytest

from tests.conformance.autobahn import ALLOWED, failures

GOOD = {"behavior": "OK", "behaviorClose": "OK"}


def test_a_report_without_failures_has_none() -> None:
    open_choice = {"behavior": "NON-STRICT", "behaviorClose": "INFORMATIONAL"}
    assert failures({"1.1.1": GOOD, "6.4.1": open_choice}) == []


@pytest.mark.parametrize("where", ["behavior", "behaviorClose"])
@pytest.mark.parametrize("verdict", ["FAILED", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT"])
def test_whatever_is_not_known_to_be_good_is_a_failure(where: str, verdict: str) -> None:
    [line] = failures({"1.1.1": GOOD, "2.1": {**GOOD, where: verdict}})
    assert line.startswith("2.1: ")
    assert verdict in line


def test_one_case_may_fail() -> None:
    assert list(ALLOWED) == ["7.1.5"]
    assert failures({"7.1.5": {**GOOD, "behavior": "FAILED"}}) == []
