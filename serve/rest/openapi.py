"""The OpenAPI 3.1 document of a table of operations, from the very types that check requests."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from kernel.errors import TABLE, Code
from serve.identity.page_sessions import COOKIE
from serve.rest.examples import example_of
from serve.rest.operations import Operation, Parameter
from serve.tokens import SCOPES
from serve.version import VERSION

EVERYWHERE = (
    Code.RATE_LIMITED,
    Code.BUSY,
    Code.NOT_OWNER,
    Code.GOING_AWAY,
    Code.STORE_UNAVAILABLE,
    Code.TIMEOUT,
    Code.INTERNAL,
)
"""What any operation may be refused with, and should be asked again after."""


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, and what was true."""

    status: int
    """The status of the answer."""
    message: str
    reason: str
    """One of the codes of docs/protocol.md, for a program to act on."""


class ErrorObject(msgspec.Struct, frozen=True, kw_only=True):
    error: ErrorDetail


def refusals_of(operation: Operation[Any, Any]) -> dict[int, list[Code]]:
    """Status to the codes that an answer of that status may carry."""
    codes: list[Code] = [*operation.refusals, *EVERYWHERE]
    if operation.own_security is None:
        codes.append(Code.UNAUTHORIZED)
    # A client that acts for itself has no listener: nothing below /v1/me is for it.
    if operation.scopes or operation.path.startswith("/v1/me"):
        codes.append(Code.FORBIDDEN)
    if operation.parameters or operation.body is not None:
        codes.append(Code.BAD_REQUEST)
    # Also of a body that the operation would not have read.
    codes.append(Code.FRAME_TOO_LARGE)
    by_status: dict[int, list[Code]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(TABLE[code].http, []).append(code)
    return dict(sorted(by_status.items()))


def document(operations: Sequence[Operation[Any, Any]], *, base_url: str) -> dict[str, Any]:
    """`operations` as OpenAPI. `base_url`: this server, without a slash at the end."""
    types: list[Any] = [ErrorObject, str]
    for each in operations:
        types += [kind for kind in (*each.answers.values(), each.refusal) if kind is not None]
        if each.body is not None:
            types.append(each.body)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(types, _without_words(schemas), strict=True))
    shown = Shown(schema_of, components)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, shown)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Segue",
            "version": VERSION,
            "description": "Shapes, paths and codes of the Spotify Web API, on a server of your own.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": name} for name in dict.fromkeys(each.tag for each in operations)],
        "paths": paths,
        "components": {
            "schemas": _without_words(components),
            "securitySchemes": {
                "oauth2": {
                    "type": "oauth2",
                    "flows": {
                        "authorizationCode": {
                            "authorizationUrl": f"{base_url}/authorize",
                            "tokenUrl": f"{base_url}/api/token",
                            "refreshUrl": f"{base_url}/api/token",
                            "scopes": {scope: _scope_words(scope) for scope in SCOPES},
                        }
                    },
                },
                "client": {"type": "http", "scheme": "basic", "description": "A client's id and secret."},
                "page": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


class Shown(NamedTuple):
    """Types as the document has them."""

    schemas: Mapping[Any, Any]
    components: Mapping[str, Any]

    def body(self, kind: Any, example: Any = None) -> dict[str, Any]:
        if kind is str:
            return {"schema": {"type": "string"}, "example": "<!doctype html>…"}
        schema = self.schemas[kind]
        return {
            "schema": schema,
            "example": example if example is not None else example_of(schema, self.components),
        }


def _media(kind: Any) -> str:
    return "text/html" if kind is str else "application/json"


def _operation(each: Operation[Any, Any], types: Shown) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": each.operation_id,
        "summary": each.summary,
        "tags": [each.tag],
        "responses": {**_answers(each, types), **_refusals(each, types)},
        # Any one of the scopes is enough, hence one requirement for each.
        "security": [{"oauth2": [scope]} for scope in each.scopes] or [{"oauth2": []}],
    }
    if each.own_security is not None:
        shown["security"] = [*({name: []} for name in each.own_security), {}]
    if each.description:
        shown["description"] = each.description
    if each.parameters:
        shown["parameters"] = [_parameter(parameter) for parameter in each.parameters]
    if each.body is not None:
        media = "application/x-www-form-urlencoded" if each.is_form else "application/json"
        content = {media: types.body(each.body)}
        shown["requestBody"] = {"required": each.body_required, "content": content}
    return shown


def _parameter(each: Parameter) -> dict[str, Any]:
    schema = {
        key: value for key, value in each.schema.items() if key not in ("description", "examples", "default")
    }
    schema = _without_words(schema)
    if each.schema.get("default") is not None:
        schema["default"] = each.schema["default"]
    shown: dict[str, Any] = {
        "name": each.name,
        "in": "path" if each.in_path else "query",
        "required": each.required,
        "schema": schema,
        "description": each.schema.get("description", ""),
    }
    if schema.get("type") == "array":
        shown |= {"style": "form", "explode": False}
    shown["example"] = example_of(each.schema, {}, name=each.name)
    return shown


def _answers(each: Operation[Any, Any], types: Shown) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for status, kind in each.answers.items():
        answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if kind is not None:
            answer["content"] = {_media(kind): types.body(kind)}
        if each.cached and status == 200:
            answer["headers"] = {
                "ETag": _header("Of the bytes of the answer; send it as If-None-Match."),
                "Cache-Control": _header("`private, no-cache`: keep it, and ask each time."),
            }
        shown[str(status)] = answer
    if each.cached:
        shown["304"] = {"description": "What `If-None-Match` names is what there is; no body."}
    return shown


def _refusals(each: Operation[Any, Any], types: Shown) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for status, codes in refusals_of(each).items():
        meanings = "; ".join(f"`{code.value}`: {TABLE[code].text}" for code in codes)
        example = {"error": {"status": status, "message": TABLE[codes[0]].text, "reason": codes[0].value}}
        answer: dict[str, Any] = {
            "description": meanings,
            "content": _refusal_content(each, types, example),
        }
        if any(TABLE[code].retry for code in codes):
            answer["headers"] = {"Retry-After": _header("Seconds to wait, where the time is known.")}
        shown[str(status)] = answer
    return shown


def _refusal_content(each: Operation[Any, Any], types: Shown, example: Any) -> dict[str, Any]:
    usual = types.body(ErrorObject, example)
    if each.refusal is None:
        return {"application/json": usual}
    own = types.body(each.refusal)
    if each.refusal is str:
        return {"text/html": own, "application/json": usual}
    return {"application/json": {**own, "schema": {"anyOf": [own["schema"], usual["schema"]]}}}


def _without_words(value: Any) -> Any:
    """The schema without our own note of how to say a pattern in words."""
    match value:
        case dict():
            return {key: _without_words(each) for key, each in value.items() if key != "x-words"}
        case list() | tuple():
            return [_without_words(each) for each in value]
        case _:
            return value


def _header(words: str) -> dict[str, Any]:
    return {"description": words, "schema": {"type": "string"}}


def _scope_words(scope: str) -> str:
    return scope.replace("-", " ")


def operations_by_tag(
    operations: Iterable[Operation[Any, Any]],
) -> dict[str, list[Operation[Any, Any]]]:
    grouped: dict[str, list[Operation[Any, Any]]] = {}
    for each in operations:
        grouped.setdefault(each.tag, []).append(each)
    return grouped
