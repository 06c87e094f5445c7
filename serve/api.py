"""The REST interface as one ASGI application: routes, who may pass, errors, logs and counts.

`create_api` gets everything it needs as arguments and opens nothing, so tests run the whole of it in process
on memory stores. `serve/deployments.py` gives it real ones.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connect.frames import Limits
from kernel.errors import Code, Rejected, SegueError, Unavailable
from kernel.ids import CommandId, ulid
from kernel.units import Clock
from serve.accounts import Accounts
from serve.directory import Directory
from serve.identity.routes import identity_routes
from serve.page import Page
from serve.rest import not_offered, operations, reference
from serve.rest.account import account_operations
from serve.rest.browse import BrowseEndpoints
from serve.rest.catalogue import CatalogueEndpoints
from serve.rest.connect import ConnectEndpoint
from serve.rest.exchange import BODY_BYTES_MAX, error_response, json_response, tagged_response
from serve.rest.identity import identity_operations
from serve.rest.library import LibraryEndpoints
from serve.rest.openapi import document
from serve.rest.player import PlayerEndpoints
from serve.rest.reader import CatalogueReader
from serve.rest.search import SearchEndpoint
from serve.rest.shapes import Shapes
from serve.rest.spoken import SpokenEndpoints
from serve.rest.users import UserEndpoints
from serve.settings import Settings
from serve.tokens import Tokens
from storage.catalogue import Catalogue
from storage.library import Library
from storage.ports import Documents
from storage.preferences import Preferences

GUARDED = "/v1/"
"""Paths that need a token."""
OPENAPI_PATH = "/v1/openapi.json"
"""The one of them that needs none."""
STORE_DEADLINE_S = 2.0
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXPOSED_HEADERS = ("etag", "retry-after", "x-trace-id")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/healthz", "/healthz/live", "/metrics", "page"})

log = structlog.get_logger(__name__)


def create_api(
    settings: Settings,
    *,
    documents: Documents,
    tokens: Tokens,
    accounts: Accounts,
    directory: Directory,
    clock: Clock,
    page_folder: Path | None = None,
    behind_proxy: bool = False,
    close: Callable[[], Awaitable[None]] | None = None,
) -> Starlette:
    """The application. It reads the catalogue in `documents`; `close` is awaited when it shuts down.

    `behind_proxy`: the last `x-forwarded-for` was written by our own proxy, and nobody else can reach us.
    """
    minted = random.SystemRandom()
    shapes = Shapes(base_url=settings.http_url, art_url=settings.edge_url)
    preferences = Preferences(documents)
    reader = CatalogueReader(
        Catalogue(documents, clock), Library(documents, clock), preferences, shapes, clock
    )
    registry = CollectorRegistry()

    def mint_command_id() -> CommandId:
        return CommandId(ulid(clock.now_ms(), minted))

    def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    identity = identity_routes(
        settings,
        documents=documents,
        accounts=accounts,
        tokens=tokens,
        clock=clock,
        behind_proxy=behind_proxy,
    )
    table = [
        *PlayerEndpoints(directory, reader, mint_command_id).operations(),
        *LibraryEndpoints(reader, accounts).operations(),
        *CatalogueEndpoints(reader).operations(),
        *SpokenEndpoints(reader).operations(),
        *BrowseEndpoints(reader, clock).operations(),
        *SearchEndpoint(reader).operations(),
        *UserEndpoints(accounts, preferences, directory, shapes).operations(),
        *ConnectEndpoint(directory, tokens, Limits(lease_s=settings.lease_s)).operations(),
        *account_operations(identity),
        *not_offered.operations(),
    ]
    shown = [*table, *identity_operations(identity)]
    described = document(shown, base_url=settings.http_url)

    def openapi(request: Request) -> Response:
        return tagged_response(request, described)

    routes = [
        *(route for route in identity if not route.path.startswith(GUARDED)),
        *operations.routes(table),
        *reference.routes(shown),
        Route(OPENAPI_PATH, openapi, methods=["GET"]),
        Route("/healthz", _healthz(documents), methods=["GET"]),
        Route("/healthz/live", _live, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    page = Page(settings, page_folder)
    names: dict[object, str] = {route.endpoint: route.path for route in routes}
    names[page] = "page"

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if close is not None:
            await close()

    api = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
                allow_headers=("authorization", "content-type", "if-none-match"),
                expose_headers=EXPOSED_HEADERS,
            ),
            Middleware(Front, tokens=tokens, clock=clock, registry=registry, names=names),
        ],
        exception_handlers={HTTPException: _shaped},
    )
    # A redirect would be built from the Host header, which the client writes.
    api.router.redirect_slashes = False
    api.router.default = _elsewhere(page)
    return api


class Front:
    """What surrounds each request: trace id, token, refusals as bodies, one log line, counts."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        clock: Clock,
        registry: CollectorRegistry,
        names: Mapping[object, str],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._clock = clock
        self._names = names
        self._random = random.SystemRandom()
        self._requests = Counter(
            "segue_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "segue_http_request_seconds",
            "Time until the answer was handed over, seconds.",
            ("route",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = self._clock.tick_s()
        trace_id = self._trace_id(scope)
        status = 0
        refused: SegueError | None = None

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-trace-id"] = trace_id
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            try:
                await self._admit(scope)
                await self._app(scope, receive, sent)
            except SegueError as error:
                refused = error
                await error_response(error)(scope, receive, sent)
            except Exception:
                # The outermost loop of a request: it ends this request, not the process.
                log.exception("request_failed", method=scope["method"], path=scope["path"])
                if status:
                    raise  # half an answer is out; closing the connection is all that is left to say
                refused = SegueError(Code.INTERNAL, f"fault of the server; the trace id is {trace_id}")
                await error_response(refused)(scope, receive, sent)
            finally:
                self._account(scope, status, began_s, refused)

    async def _admit(self, scope: Scope) -> None:
        """Puts the claims where handlers find them. Raises Rejected UNAUTHORIZED, FRAME_TOO_LARGE."""
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            raise Rejected(
                Code.FRAME_TOO_LARGE, f"body of {length[:20]} bytes rejected: {BODY_BYTES_MAX} are allowed"
            )
        path = scope["path"]
        if not path.startswith(GUARDED) or path == OPENAPI_PATH or scope["method"] == "OPTIONS":
            return
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise Rejected(
                Code.UNAUTHORIZED, f"{scope['path'][:100]} asked for without a token: send a Bearer token"
            )
        claims = await self._tokens.verify_access(token.strip())
        if not claims.is_user and f"{scope['path']}/".startswith("/v1/me/"):
            raise Rejected(
                Code.FORBIDDEN,
                f"{scope['path'][:100]} asked for by a client for itself: it needs a user's token",
            )
        scope.setdefault("state", {})["claims"] = claims

    def _trace_id(self, scope: Scope) -> str:
        """The caller's request id, when it has the form of one; behind Serve there always is one."""
        given = Headers(scope=scope).get("x-request-id", "")
        return given if _REQUEST_ID.fullmatch(given) else ulid(self._clock.now_ms(), self._random)

    def _account(self, scope: Scope, status: int, began_s: float, refused: SegueError | None) -> None:
        elapsed_s = self._clock.tick_s() - began_s
        # The template, not the path: ids would make a series each.
        route = self._names.get(scope.get("endpoint"), "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(elapsed_s)
        claims = scope.get("state", {}).get("claims")
        say = log.debug if route in _QUIET and status < 500 else log.info
        say(
            "request",
            method=method,
            route=route,
            status=status,
            user_id=claims.user_id if claims is not None else None,
            outcome=refused.code.value if refused is not None else "ok" if 0 < status < 400 else "refused",
            elapsed_ms=round(elapsed_s * 1000, 3),
        )


_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"})


class Health(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    store: str


async def _live(_: Request) -> Response:
    """200 while this process answers at all. Who is not live is worth ending; not to be ready passes."""
    return Response("live\n", media_type="text/plain")


def _healthz(documents: Documents) -> Callable[[Request], Awaitable[Response]]:
    async def healthz(_: Request) -> Response:
        """200 while requests can be served, 503 while the store does not answer in time."""
        try:
            async with asyncio.timeout(STORE_DEADLINE_S):
                await documents.get("accounts", [""])
        except (Unavailable, TimeoutError):
            return json_response(Health(status="failing", store="unreachable"), status=503)
        return json_response(Health(status="ok", store="ok"))

    return healthz


def _elsewhere(page: Page) -> ASGIApp:
    """Every path that no route has: the page's, unless it is below an interface."""
    # HAProxy passes on what it gets, so it is made small here.
    small = GZipMiddleware(page)

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        if f"{scope['path']}/".startswith(("/v1/", "/api/")):
            raise HTTPException(404)
        scope["endpoint"] = page
        await small(scope, receive, send)

    return elsewhere


async def _shaped(request: Request, raised: Exception) -> Response:
    """What the router refuses, in the same shape as everything else."""
    assert isinstance(raised, HTTPException), "registered for these only"
    allowed = _allowed(request) if raised.status_code == 405 else ""
    if allowed and request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": allowed})
    asked = f"{request.method} {request.url.path[:200]}"
    match raised.status_code:
        case 404:
            body = _body(404, f"{asked} asked for: there is nothing at this path", Code.NOT_FOUND)
        case 405:
            body = _body(405, f"{asked} rejected: this path takes {allowed}", Code.BAD_REQUEST)
        case status:
            body = _body(status, f"{asked} rejected: {HTTPStatus(status).phrase}", Code.BAD_REQUEST)
    response = json_response(body, status=raised.status_code)
    if allowed:
        response.headers["allow"] = allowed
    return response


def _body(status: int, message: str, reason: Code) -> dict[str, object]:
    return {"error": {"status": status, "message": message, "reason": reason.value}}


def _allowed(request: Request) -> str:
    """Every method of the path: one path may have a route per method."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods)) or "GET, HEAD"
