"""Every operation is sent what the document allows and what it forbids, by schemathesis, on a live server.

No 5xx, no status that the document does not have, no answer outside its schema; what it forbids is refused.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from storage.catalogue import Catalogue
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, ALBUM_URI, TRACKS, TestDevice
from tests.support.live_rest import listening
from tests.support.rest import running_rest
from tests.support.shelves import ADA, EPISODES, GENRE_ID, SHOW, fill_shelves

EXAMPLES = 4
"""Of each operation and kind of input: some hundreds of requests, about a minute on two cores."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REAL = {"tracks": TRACKS[0], "albums": ALBUM, "artists": ADA, "shows": SHOW, "episodes": EPISODES[0]}
"""By the word of the path that the id belongs to."""


class Live(NamedTuple):
    url: str
    document: dict[str, Any]
    headers: dict[str, str]


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    async with running_rest() as rest, listening(rest.api) as url:
        await fill_shelves(Catalogue(rest.stores.documents, FakeClock()))
        grace = await rest.accounts.add("Grace", "correct horse")
        phone = TestDevice(rest.host, "phone-001", user=grace.user_id)
        await phone.connect(supports_prepare=False)
        headers = rest.bearer(grace)
        begun = await rest.ask(
            "PUT",
            "/v1/me/player/play",
            params={"device_id": "phone-001"},
            json={"context_uri": ALBUM_URI},
            headers=headers,
        )
        assert begun.status_code == 204
        document = (await rest.client.get("/v1/openapi.json")).json()
        yield Live(url, document, headers)


# Their generics name how a request is sent, which is nobody's business here.
Case = schemathesis.Case[Any]
Operation = schemathesis.APIOperation[Any, Any, Any, Any]


def operations(live: Live) -> list[Operation]:
    schema = schemathesis.openapi.from_dict(live.document)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def with_real_ids(case: Case) -> Case:
    """The same case about things that there are, so that it gets further than 404."""
    if not case.path.startswith("/v1/"):
        return case
    word = case.path.split("/")[2 if not case.path.startswith("/v1/me/") else 3]
    known = REAL.get(word)
    for name in case.path_parameters or {}:
        case.path_parameters[name] = (
            GENRE_ID if name == "category_id" else known or case.path_parameters[name]
        )
    for name, value in (("ids", known), ("uris", ALBUM_URI), ("uri", ALBUM_URI), ("q", "a")):
        if value is not None and name in (case.query or {}):
            case.query[name] = value
    return case


def send(live: Live, operation: Operation, mode: GenerationMode, session: requests.Session) -> None:
    """What `mode` says of one operation: allowed or forbidden input."""
    checks = CHECKS if mode is GenerationMode.POSITIVE else [*CHECKS, negative_data_rejection]

    @seed(20_261_121)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_real=st.booleans())
    def example(case: Case, is_real: bool) -> None:
        if is_real and mode is GenerationMode.POSITIVE:
            case = with_real_ids(case)
        answer = case.call(base_url=live.url, session=session, headers=live.headers)
        case.validate_response(answer, checks=checks)

    example()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
async def test_no_answer_is_outside_the_document(live: Live, mode: GenerationMode) -> None:
    def send_all() -> list[str]:
        failures: list[str] = []
        with requests.Session() as session:
            for operation in operations(live):
                if mode is GenerationMode.NEGATIVE and operation.tags == ["Not offered"]:
                    continue  # nothing is forbidden: each request is refused alike
                try:
                    send(live, operation, mode, session)
                except Unsatisfiable:
                    assert mode is GenerationMode.NEGATIVE, f"{operation.label} allows nothing"
                except BaseExceptionGroup as group:
                    failures.append(f"{operation.label}: {group.exceptions[0]}")
                except Exception as failure:
                    failures.append(f"{operation.label}: {failure!r}")
        return failures

    assert await asyncio.to_thread(send_all) == []
