"""What the endpoints of identity share: forms and queries read strictly, our own origin, cookies."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from kernel.errors import Code, Rejected
from serve.identity.refusals import INVALID_REQUEST, refused
from serve.rest.exchange import bytes_of

FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 20
JSON = "application/json"


async def form_of(request: Request) -> dict[str, str]:
    """The fields; one that stands twice is refused, since two readers could take two values."""
    if content_type(request) != FORM:
        raise refused(INVALID_REQUEST, f"{request.url.path} asked for: the body must be {FORM}")
    body = await bytes_of(request)
    try:
        return fields_of(body.decode("ascii"))
    except ValueError:
        raise refused(
            INVALID_REQUEST, f"{request.url.path} asked for: the body is not a form in UTF-8"
        ) from None


def query_of(request: Request) -> dict[str, str]:
    """Raises Rejected invalid_request, as `form_of`."""
    try:
        return fields_of(request.scope["query_string"].decode("ascii"))
    except ValueError:
        raise refused(
            INVALID_REQUEST, f"{request.url.path} asked for: the query is not a form in UTF-8"
        ) from None


def fields_of(text: str) -> dict[str, str]:
    """Raises ValueError for what is no form, Rejected for a field that stands twice."""
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise refused(INVALID_REQUEST, "asked for with a field that stands twice")
    return fields


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def needed(fields: Mapping[str, str], *names: str) -> tuple[str, ...]:
    """Raises Rejected invalid_request naming the first that is missing or empty."""
    for name in names:
        if not fields.get(name):
            raise refused(INVALID_REQUEST, f"request rejected: the field {name} is missing")
    return tuple(fields[name] for name in names)


def require_own_origin(request: Request, own: Sequence[str]) -> None:
    """Raises Rejected FORBIDDEN when a page of another origin made the browser send this.

    Browsers put an Origin on every POST; a program that is no browser sends none, and has no cookie that
    somebody else could make it send.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if (origin is not None and origin not in own) or site not in ("same-origin", "none"):
        raise Rejected(
            Code.FORBIDDEN,
            f"{request.method} {request.url.path} rejected: it comes from {origin or 'another site'}",
        )


def is_https(request: Request) -> bool:
    """Whether the browser spoke TLS to whatever stands in front. A liar only restricts their own cookie."""
    forwarded = request.headers.get("x-forwarded-proto", "").split(",")[-1].strip().lower()
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or forwarded == "https" or origin.startswith("https://")


def set_cookie(
    response: Response, request: Request, name: str, value: str, *, life_s: int, path: str = "/"
) -> None:
    """HttpOnly, SameSite=Lax, Secure where there is TLS."""
    response.set_cookie(
        name,
        value,
        max_age=life_s,
        path=path,
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )


def clear_cookie(response: Response, request: Request, name: str) -> None:
    response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=is_https(request))
