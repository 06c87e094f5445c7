"""What a token may do: every operation refuses one without its scope, and nobody's things are another's."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serve.tokens import SCOPES
from tests.support.hosting import ALBUM_URI, TestDevice
from tests.support.oauth import Program, a_client, grace, logged_in
from tests.support.rest import Rest, running_rest

PLAYER = "/v1/me/player"


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with running_rest() as running:
        yield running


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["reason"]


def example_request(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """The request that the document gives as an example."""
    query: dict[str, str] = {}
    for each in operation.get("parameters", []):
        value = each["example"]
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", text)
        elif each["required"]:
            query[each["name"]] = text
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return {"url": path, "params": query, **({"json": body["example"]} if body else {})}


async def test_every_operation_refuses_a_token_that_has_all_scopes_but_its_own(rest: Rest) -> None:
    found = (await rest.client.get("/v1/openapi.json")).json()["paths"]
    let_in: dict[str, Any] = {}
    asked = 0
    for path, methods in found.items():
        for method, operation in methods.items():
            own = {scope for each in operation["security"] for scope in each.get("oauth2", ())}
            if not own:
                continue
            asked += 1
            request = example_request(path, operation)
            for scopes in ((), tuple(scope for scope in SCOPES if scope not in own)):
                answer = await rest.client.request(method, headers=rest.bearer(scopes=scopes), **request)
                if refusal(answer) != (403, "FORBIDDEN"):
                    let_in[f"{method} {path}"] = answer.text
    assert asked > 40
    assert let_in == {}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"{PLAYER}/play?device_id=phone-001", {"context_uri": ALBUM_URI}),
        ("PUT", f"{PLAYER}/volume?device_id=phone-001&volume_percent=99", None),
        ("PUT", PLAYER, {"device_ids": ["phone-001"]}),
    ],
    ids=["play", "volume", "transfer"],
)
async def test_another_listener_s_device_is_not_there(
    rest: Rest, method: str, path: str, body: object
) -> None:
    theirs = TestDevice(rest.host, "phone-001")  # Ada's
    await theirs.connect()
    theirs.forget()
    eve = await rest.accounts.add("Eve", "correct horse")
    answer = await rest.ask(method, path, json=body, headers=rest.bearer(eve))
    assert refusal(answer) in {(404, "DEVICE_UNAVAILABLE"), (404, "NO_ACTIVE_DEVICE")}
    assert theirs.read() == []


async def test_another_listener_s_client_and_login_are_not_there(rest: Rest) -> None:
    await grace(rest)
    client, _ = await a_client(rest)
    await logged_in(rest, Program(rest, client))
    eve = await rest.accounts.add("Eve", "correct horse")
    listed = await rest.get("/v1/me/clients", headers=rest.bearer(eve))
    assert listed.json() == {"items": []}
    answer = await rest.ask("DELETE", f"/v1/me/clients/{client.client_id}", headers=rest.bearer(eve))
    assert refusal(answer) == (404, "NOT_FOUND")


async def test_what_anybody_may_know_of_another_is_their_name(rest: Rest) -> None:
    other = await rest.accounts.add("Grace", "correct horse", country="SE")
    shown = (await rest.get(f"/v1/users/{other.user_id}")).json()
    assert shown["display_name"] == "Grace"
    assert not {"country", "product", "email", "explicit_content"} & set(shown)
