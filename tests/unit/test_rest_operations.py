"""The table of operations: what a request is told when it is wrong, the document, and the reference."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest
from starlette.routing import Route

from kernel.errors import TABLE, Code
from serve.identity.authorize import PARAMETERS
from serve.identity.token_endpoint import GRANT_TYPES
from serve.rest.openapi import EVERYWHERE
from serve.tokens import SCOPES
from tests.support.hosting import ALBUM
from tests.support.rest import Rest, running_rest


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with running_rest() as running:
        yield running


async def document(rest: Rest) -> dict[str, Any]:
    answer = await rest.client.get("/v1/openapi.json")  # without a token
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


# --- requests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "more", "named"),
    [
        ("GET", f"/v1/albums/{ALBUM}/tracks", {"params": {"limit": 51}}, ["limit='51'", "from 1 to 50"]),
        (
            "GET",
            f"/v1/albums/{ALBUM}/tracks",
            {"params": {"offset": "ten"}},
            ["offset='ten'", "whole number"],
        ),
        ("GET", "/v1/albums/short", {}, ["id='short'", "22 letters and digits"]),
        ("GET", "/v1/tracks", {"params": {"ids": "short"}}, ["ids='short'", "1 to 50 values", "22 letters"]),
        ("GET", "/v1/tracks", {}, ["ids must be given"]),
        ("GET", "/v1/markets", {"params": {"market": "XX"}}, None),  # it takes no market
        ("GET", f"/v1/albums/{ALBUM}", {"params": {"market": "XX"}}, ["market='XX'", "one of 250 values"]),
        ("PUT", "/v1/me/player/shuffle", {"params": {"state": "1"}}, ["state='1'", "true or false"]),
        ("PUT", "/v1/me/player/repeat", {"params": {"state": "all"}}, ["'all'", "context, off, track"]),
        ("PUT", "/v1/me/player/play", {"json": {"uris": ["a", 7]}}, ["uris[1] = 7", "Expected `str`"]),
        (
            "PUT",
            "/v1/me/player/play",
            {"json": {"offset": {"position": -1}}},
            ["offset.position = -1", ">= 0"],
        ),
        ("PUT", "/v1/me/player", {}, ["needs a body"]),
        ("PUT", "/v1/me/player", {"json": {}}, ["device_ids"]),
        ("GET", "/v1/search", {"params": {"q": "a", "type": "mixtape"}}, ["'mixtape'", "album, artist"]),
    ],
)
async def test_a_refusal_names_the_field_what_was_sent_and_what_is_allowed(
    rest: Rest, method: str, path: str, more: dict[str, Any], named: list[str] | None
) -> None:
    answer = await rest.ask(method, path, **more)
    if named is None:
        assert answer.status_code == 200
        return
    error = answer.json()["error"]
    assert (answer.status_code, error["reason"]) == (400, "BAD_REQUEST")
    assert [word for word in named if word not in error["message"]] == [], error["message"]


async def test_a_long_wrong_value_is_not_echoed_whole(rest: Rest) -> None:
    answer = await rest.get("/v1/tracks", params={"ids": "x" * 4_000})
    assert len(answer.json()["error"]["message"]) < 300


async def test_a_path_may_end_in_a_slash_where_client_libraries_write_one(rest: Rest) -> None:
    plain, slashed = await rest.get(f"/v1/albums?ids={ALBUM}"), await rest.get(f"/v1/albums/?ids={ALBUM}")
    assert (slashed.status_code, slashed.content) == (200, plain.content)


# --- the document -----------------------------------------------------------------------------------


BESIDE = {
    "/v1/openapi.json", "/docs/api", "/docs/api.css", "/healthz", "/healthz/live", "/metrics",
    "/identity/style.css",
}  # fmt: skip
"""What describes, what is measured, and what a page loads."""


async def test_the_document_has_every_route_of_rest_and_identity_and_nothing_else(rest: Rest) -> None:
    described = {
        (method.upper(), path)
        for path, methods in (await document(rest))["paths"].items()
        for method in methods
    }
    served = {
        (method, route.path.rstrip("/"))
        for route in rest.api.routes
        if isinstance(route, Route) and route.path not in BESIDE
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == served


async def test_each_operation_says_what_it_is_and_how_it_is_refused(rest: Rest) -> None:
    found = await document(rest)
    ids = []
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            ids.append(operation["operationId"])
            assert operation["summary"], name
            responses = operation["responses"]
            assert {"413", "429", "500", "503", "504"} <= set(responses), name
            assert "401" in responses or operation["tags"] == ["Identity"], name
            assert any(status < "400" for status in responses) or operation["tags"] == ["Not offered"], name
            in_path = set(re.findall(r"{(\w+)}", path))
            parameters = operation.get("parameters", [])
            assert {each["name"] for each in parameters if each["in"] == "path"} == in_path, name
            if parameters or "requestBody" in operation:
                assert "400" in responses, name
            scopes = {scope for each in operation["security"] for scope in each.get("oauth2", ())}
            if scopes:
                assert "403" in responses, name
            assert scopes <= set(SCOPES), name
    assert len(ids) == len(set(ids))


async def test_each_reference_in_the_document_leads_somewhere(rest: Rest) -> None:
    answer = await rest.client.get("/v1/openapi.json")
    schemas = answer.json()["components"]["schemas"]
    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert sorted(wanted - set(schemas)) == []
    assert "x-words" not in answer.text


async def test_each_operation_has_examples_and_they_are_what_their_schemas_allow(rest: Rest) -> None:
    found = await document(rest)
    checks: dict[str, Any] = {}

    def wrong(where: str, shown: dict[str, Any]) -> list[str]:
        if "example" not in shown:
            return [f"{where} has no example"]
        key = str(shown["schema"])
        if key not in checks:
            whole = {**shown["schema"], "components": found["components"]}
            checks[key] = jsonschema_rs.Draft202012Validator(whole)
        return [f"{where}: {error.message}" for error in checks[key].iter_errors(shown["example"])]

    complaints: list[str] = []
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            for parameter in operation.get("parameters", []):
                complaints += wrong(f"{name} {parameter['name']}", parameter)
            bodies = {"body": operation["requestBody"]} if "requestBody" in operation else {}
            for where, holder in {**operation["responses"], **bodies}.items():
                for media in holder.get("content", {}).values():
                    complaints += wrong(f"{name} {where}", media)
    assert complaints == []


async def test_what_is_documented_of_a_login_is_what_its_endpoints_know(rest: Rest) -> None:
    found = await document(rest)
    form = found["components"]["schemas"]["TokenForm"]["properties"]
    assert sorted(form["grant_type"]["enum"]) == sorted(GRANT_TYPES)
    asked = {each["name"] for each in found["paths"]["/authorize"]["get"]["parameters"]}
    assert asked == set(PARAMETERS)


async def test_each_scheme_of_security_is_one_of_the_document_s(rest: Rest) -> None:
    found = await document(rest)
    named = {
        scheme
        for methods in found["paths"].values()
        for operation in methods.values()
        for requirement in operation["security"]
        for scheme in requirement
    }
    assert named == set(found["components"]["securitySchemes"])


async def test_bounds_and_defaults_in_the_document_are_those_that_are_checked(rest: Rest) -> None:
    found = await document(rest)
    parameters = {
        each["name"]: each for each in found["paths"]["/v1/albums/{id}/tracks"]["get"]["parameters"]
    }
    limit = parameters["limit"]["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 50, 20)
    path = f"/v1/albums/{ALBUM}/tracks"
    assert (await rest.get(path)).json()["limit"] == limit["default"]
    for value, status in ((0, 400), (1, 200), (50, 200), (51, 400)):
        assert (await rest.get(path, params={"limit": value})).status_code == status
    assert parameters["id"]["required"] is True
    assert parameters["market"]["required"] is False


def test_what_any_operation_may_be_refused_with_can_be_tried_again() -> None:
    assert [code for code in EVERYWHERE if not TABLE[code].retry] == []
    assert Code.NOT_OFFERED not in EVERYWHERE


# --- the reference ----------------------------------------------------------------------------------


class Reader(HTMLParser):
    """What a page loads and what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]


async def test_the_reference_is_our_own_and_needs_no_script(rest: Rest) -> None:
    answer = await rest.client.get("/docs/api")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'; style-src 'self'" in answer.headers["content-security-policy"]
    page = Reader()
    page.feed(answer.text)
    assert not {"script", "style", "img", "iframe"} & set(page.tags)
    assert all(link.startswith(("/", "#")) for link in page.loads)
    for link in page.loads:
        if link.startswith("/"):
            assert (await rest.client.get(link)).status_code == 200, link
        else:
            assert link[1:] in page.ids


async def test_the_reference_has_every_operation_of_the_document(rest: Rest) -> None:
    page = Reader()
    page.feed((await rest.client.get("/docs/api")).text)
    wanted = {
        operation["operationId"]
        for methods in (await document(rest))["paths"].values()
        for operation in methods.values()
    }
    assert sorted(wanted - set(page.ids)) == []
