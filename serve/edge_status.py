"""What the edge's port tells operators: `/healthz/live`, `/healthz` and `/metrics`, in front of the edge.

Not let through by the proxy of `serve/front.py`, as on the other ports.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from serve.edge import Edge, Receive, Scope, Send


class EdgeStatus:
    """An ASGI application: these three, and the edge for every other path."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._registry = CollectorRegistry()
        self._registry.register(_Numbers(edge))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope["path"]) if scope["type"] == "http" else None
        await (self._edge if answer is None else answer)(scope, receive, send)

    def _answer(self, path: str) -> Response | None:
        match path:
            case "/healthz/live":
                return PlainTextResponse("live\n")
            case "/healthz":
                why = self._edge.why_not_ready()
                if why is None:
                    return PlainTextResponse("ready\n")
                return PlainTextResponse(f"not ready: {why}\n", status_code=503)
            case "/metrics":
                return Response(
                    generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST}
                )
            case _:
                return None


class _Numbers(Collector):
    """Reads the edge's own counts when it is asked."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def collect(self) -> Iterable[Metric]:
        numbers: Mapping[str, int] = self._edge.statistics()
        answers = CounterMetricFamily(
            "segue_edge_answers",
            "Audio, manifests and covers, by status or by the code of the refusal",
            labels=["outcome"],
        )
        for outcome, count in numbers.items():
            if outcome not in ("bytes_sent", "streams"):
                answers.add_metric([outcome], count)
        yield answers
        yield CounterMetricFamily("segue_edge_bytes", "Of bodies that were sent", value=numbers["bytes_sent"])
        yield GaugeMetricFamily("segue_edge_streams", "Answers under way", value=numbers["streams"])
