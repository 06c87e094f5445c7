"""The dashboard and the alerts in `deploy/` ask for nothing that is not really told."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from actors.clock import SystemClock
from serve.edge import create_edge_app
from serve.edge_status import EdgeStatus
from serve.keys import KeyRing
from serve.settings import Settings
from storage.stores import memory_stores
from tests.support.listening_host import listening_host
from tests.support.rest import running_rest

ROOT = Path(__file__).resolve().parents[2]
TARGET_LABELS = {"instance", "job", "part"}
"""What Prometheus adds: deploy/prometheus.yaml."""

Told = Mapping[str, frozenset[str]]
"""Name of each sample to its labels."""


@pytest.fixture
async def told() -> Told:
    """By a host, and by an edge and REST that had a request."""
    async with listening_host() as address, httpx.AsyncClient(trust_env=False) as client:
        host = (await client.get(address.url.replace("ws:", "http:") + "metrics")).text
    async with running_rest() as rest:
        await rest.client.get("/healthz")
        api = (await rest.client.get("/metrics")).text
    clock = SystemClock()
    stores = memory_stores(clock)
    keys = await KeyRing.open(stores.documents, clock, Settings())
    edge = EdgeStatus(create_edge_app(stores, keys, clock, lease_s=120))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://edge") as client:
        await client.get(f"/art/{'0' * 64}")
        audio = (await client.get("/metrics")).text
    labels: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(host + api + audio):
        for sample in family.samples:
            labels[sample.name] |= sample.labels.keys()
    return {name: frozenset(found) for name, found in labels.items()}


def dashboard() -> Iterator[tuple[str, str]]:
    """Title and expression of each line."""
    for panel in json.loads((ROOT / "deploy/grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def unknown(expression: str, told: Told) -> list[str]:
    """What of a query is not told: names of metrics, labels that are selected or grouped by."""
    names = set(re.findall(r"\bsegue_\w+", expression))
    wrong = [name for name in names if name not in told]
    known = TARGET_LABELS.union(*(told.get(name, frozenset()) for name in names))
    for selector in re.findall(r"\{([^}]*)\}", expression):
        wrong += [label for label in re.findall(r"(\w+)\s*[=!]", selector) if label not in known]
    for grouping in re.findall(r"\bby\s*\(([^)]*)\)", expression):
        wrong += [label for label in re.split(r"\W+", grouping) if label not in known]
    return wrong


def test_what_is_not_told_is_found() -> None:
    told = {"segue_a_bucket": frozenset({"le", "route"})}
    assert unknown('sum by (le, route) (rate(segue_a_bucket{route="x"}[1m]))', told) == []
    assert unknown("rate(segue_b_total[1m])", told) == ["segue_b_total"]
    assert unknown('segue_a_bucket{status=~"5.."}', told) == ["status"]
    assert unknown("sum by (le, code) (segue_a_bucket)", told) == ["code"]


async def test_every_line_of_the_dashboard_is_told(told: Told) -> None:
    lines = list(dashboard())
    assert len(lines) >= 10
    assert {title: wrong for title, line in lines if (wrong := unknown(line, told))} == {}


async def test_every_alert_is_about_something_told_and_explained(told: Told) -> None:
    wrong = {rule["alert"]: unknown(rule["expr"], told) for rule in rules()}
    assert {name: found for name, found in wrong.items() if found} == {}
    explained = re.findall(r"^\| `(Segue\w+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert explained == list(wrong)


async def test_every_number_of_ours_is_on_the_dashboard(told: Told) -> None:
    shown = " ".join(line for _, line in dashboard())
    families = {re.sub(r"_(total|created|bucket|count|sum)$", "", name) for name in told}
    assert {family for family in families if family not in shown} == set()
