"""What an operation of REST is: one declaration from which a request is checked, answered and documented.

A table of `Operation`s makes the routes (`routes`), the OpenAPI document (`serve/rest/openapi.py`) and the
reference (`serve/rest/reference.py`). A parameter's type, bounds, default and words stand once, in the field
of the operation's parameter struct; so what the document allows is what a request may be.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import fields
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import Code, Rejected
from serve.rest.exchange import bytes_of, claims_of
from serve.tokens import AccessClaims

SHOWN_CHARS_MAX = 64
"""Of what a client sent, in a message about it."""
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_PLACEHOLDER = re.compile(r"{(\w+)}")
_AT = re.compile(r" - at `\$\.?(.*)`$")

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")


class NoParams(msgspec.Struct, frozen=True, kw_only=True):
    """For an operation that takes none."""


@dataclass(frozen=True, slots=True)
class Ask(Generic[P, B]):
    """One request, checked against its operation."""

    request: Request
    claims: AccessClaims
    params: P
    body: B
    """None when the operation takes none, or when there was none and it may be left out."""

    @property
    def market(self) -> str:
        """Whose market the answer is for: the listener's own, whatever `market` asks, as in the Web API."""
        return self.claims.country


@dataclass(frozen=True, kw_only=True, eq=False)
class Operation(Generic[P, B]):
    method: str
    path: str
    summary: str
    tag: str
    """The chapter of the reference that it stands in."""
    handler: Callable[[Ask[P, B]], Awaitable[Response]]
    params: type[P]
    """A field named in the path is taken from there, every other from the query."""
    body: type[B] | None = None
    body_required: bool = True
    scopes: tuple[str, ...] = ()
    """A token needs any one of them; none: any token will do."""
    answers: Mapping[int, Any] = field(default_factory=dict)
    """Status to the type of the body; None: there is no body."""
    refusals: tuple[Code, ...] = ()
    """Beside those that every operation may answer with."""
    description: str = ""
    cached: bool = False
    """Carries an ETag and may answer 304."""
    is_form: bool = False
    """The body is a form, not JSON."""
    refusal: Any = None
    """Type of a refusal's body beside the usual one, `str` for a page; None: there is no other."""
    own_security: tuple[str, ...] | None = None
    """None: a token is needed. Else none is, and these schemes of the document count instead."""
    slash: bool = False
    """Client libraries spell it with a slash at the end; that is answered as well."""

    @cached_property
    def operation_id(self) -> str:
        """The method and the path as one name, `get_me_player`."""
        words = re.findall(r"\w+", self.path.removeprefix("/v1"))
        return "_".join([self.method.lower(), *words])

    @cached_property
    def parameters(self) -> tuple["Parameter", ...]:
        in_path = set(_PLACEHOLDER.findall(self.path))
        _, components = msgspec.json.schema_components([self.params], ref_template="{name}")
        properties = components[self.params.__name__]["properties"]
        return tuple(
            Parameter(
                name=each.encode_name,
                in_path=each.encode_name in in_path,
                type=each.type,
                schema=_plain(properties[each.encode_name], components),
                required=each.required,
            )
            for each in fields(self.params)
        )

    async def __call__(self, request: Request) -> Response:
        """Raises Rejected FORBIDDEN, BAD_REQUEST or FRAME_TOO_LARGE before the handler is asked."""
        claims = claims_of(request, *self.scopes)
        values = {
            each.name: each.read(text) for each in self.parameters if (text := each.find(request)) is not None
        }
        missing = [each.name for each in self.parameters if each.required and each.name not in values]
        if missing:
            raise Rejected(
                Code.BAD_REQUEST,
                f"{self.method} {request.url.path} rejected: {' and '.join(missing)} must be given",
            )
        body = await self._body(request)
        return await self.handler(Ask(request, claims, self.params(**values), body))

    async def _body(self, request: Request) -> Any:  # B, or None; the declaration says which
        if self.body is None:
            return None
        data = await bytes_of(request)
        if not data.strip():
            if self.body_required:
                raise Rejected(
                    Code.BAD_REQUEST, f"{self.method} {request.url.path} rejected: it needs a body"
                )
            return None
        try:
            return msgspec.json.decode(data, type=self.body)
        except msgspec.ValidationError as error:
            raise Rejected(Code.BAD_REQUEST, _about(data, str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected(Code.BAD_REQUEST, f"body rejected: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of the path or the query."""

    name: str
    in_path: bool
    type: Any
    schema: dict[str, Any]
    """Plain JSON schema: no reference, no null."""
    required: bool

    def find(self, request: Request) -> str | None:
        found = request.path_params.get(self.name) if self.in_path else request.query_params.get(self.name)
        return None if found is None else str(found)

    def read(self, text: str) -> object:
        """The value that `text` stands for. Raises Rejected BAD_REQUEST."""
        try:
            return msgspec.convert(self._untyped(text), self.type)
        except (ValueError, UnicodeError):
            shown = text[:SHOWN_CHARS_MAX]
            raise Rejected(
                Code.BAD_REQUEST, f"{self.name}={shown!r} rejected: it must be {allowed(self.schema)}"
            ) from None

    def _untyped(self, text: str) -> object:
        match self.schema.get("type"):
            case "integer":
                if not _NUMBER.fullmatch(text):
                    raise ValueError("no number")
                return int(text)
            case "number":
                if not _DECIMAL.fullmatch(text):
                    raise ValueError("no number")
                return float(text)
            case "boolean":
                # As JSON writes them, and Python: client libraries send either.
                return {"true": True, "false": False}[text.lower()] if text.lower() in _BOOLEANS else text
            case "array":
                return [part.strip() for part in text.split(",") if part.strip()]
            case _:
                if "enum" in self.schema and text not in self.schema["enum"]:
                    raise ValueError("not one of them")
                return text


_BOOLEANS = frozenset({"true", "false"})


def routes(operations: Iterable[Operation[Any, Any]]) -> list[Route]:
    made: list[Route] = []
    for each in operations:
        spellings = (f"{each.path}/", each.path) if each.slash else (each.path,)
        made += [Route(path, each.__call__, methods=[each.method]) for path in spellings]
    return made


def allowed(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    low, high = schema.get("minimum"), schema.get("maximum")
    match schema:
        case {"enum": [*choices]} if len(choices) > 20:
            return f"one of {len(choices)} values like {choices[0]}"
        case {"enum": [*choices]}:
            return f"one of {', '.join(map(str, choices))}"
        case {"type": "integer"} if low is not None and high is not None:
            return f"a whole number from {low} to {high}"
        case {"type": "integer"}:
            return "a whole number"
        case {"type": "number"}:
            return f"a number from {low} to {high}"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "array", "items": items}:
            count = f"{schema.get('minItems', 0)} to {schema.get('maxItems', 'any number')}"
            return f"{count} values separated by commas, each {allowed(items)}"
        case {"x-words": words}:
            return str(words)
        case {"type": "string", "maxLength": most}:
            return f"text of {schema.get('minLength', 0)} to {most} characters"
        case _:
            return "text"


def _plain(schema: dict[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of one parameter without null and without references."""
    if "anyOf" in schema:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        [kept] = [each for each in schema["anyOf"] if each.get("type") != "null"]
        schema = {**kept, **rest}
    if "$ref" in schema:
        target = components[schema["$ref"]]
        schema = {
            "type": "string",
            "enum": target["enum"],
            **{k: v for k, v in schema.items() if k != "$ref"},
        }
    if "enum" in schema:
        schema = {"type": "string", **schema}
    if "items" in schema:
        schema = {**schema, "items": _plain(schema["items"], components)}
        if schema.get("default") == ():
            del schema["default"]
    return schema


def _about(data: bytes, why: str) -> str:
    """A message that names the field of a body, and what was sent there."""
    found = _AT.search(why)
    if found is None:
        return f"body rejected: {why[0].lower()}{why[1:]}"
    path = found.group(1)
    sent: Any = msgspec.json.decode(data)
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        if isinstance(sent, dict) and name in sent:
            sent = sent[name]
        elif isinstance(sent, list) and index:
            sent = sent[int(index)]
    shown = msgspec.json.encode(sent).decode(errors="replace")[:SHOWN_CHARS_MAX]
    return f"body field {path} = {shown} rejected: {why[: found.start()]}"
