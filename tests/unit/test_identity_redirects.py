"""Where a code may go: what can be registered, and what is taken for it. Each vector is a known attack."""

import pytest

from kernel.errors import Rejected
from serve.identity.redirects import checked_redirect_uri, form_target, is_registered
from tests.support.oauth import Program, Surfer, a_client
from tests.support.rest import running_rest

REGISTERED = (
    "https://app.example/callback",
    "http://127.0.0.1/cb",
    "http://[::1]:1/cb",
    "com.example.app:/cb",
)

TRICKS = [
    "https://app.example/callback/",
    "https://app.example/callback/../evil",
    "https://app.example/callback%2f..",
    "https://app.example/callback?next=https://evil.example",
    "https://app.example/callback#",
    "https://app.example/callback#fragment",
    "https://app.example/Callback",
    "https://APP.example/callback",
    "https://app.example:443/callback",
    "https://app.example./callback",
    "https://app.example@evil.example/callback",
    "https://app.example:pass@evil.example/callback",
    "https://evil.example/https://app.example/callback",
    "https://evil.example\\@app.example/callback",
    "https://app.example\\.evil.example/callback",
    "https://app.example.evil.example/callback",
    "https://sub.app.example/callback",
    "http://app.example/callback",
    "//app.example/callback",
    "/callback",
    "https:app.example/callback",
    "https:///app.example/callback",
    " https://app.example/callback",
    "https://app.example/callback\r\nSet-Cookie: x=1",
    "https://app.example/callback\x00",
    "https://аpp.example/callback",
    "javascript:alert(1)//https://app.example/callback",
    "data:text/html,<script>",
    "",
    "null",
    # The exception for loopback is for a port alone.
    "http://127.0.0.1:8080/other",
    "http://127.0.0.1:8080/cb?x=1",
    "http://127.0.0.1:8080/cb#x",
    "http://127.0.0.1:99999/cb",
    "http://127.0.0.1:0/cb",
    "http://127.0.0.1:/cb",
    "http://127.0.0.1:80@evil.example/cb",
    "http://127.0.0.1.evil.example/cb",
    "http://127.0.0.2/cb",
    "http://127.1/cb",
    "http://2130706433/cb",
    "http://localhost/cb",
    "http://localhost:8080/cb",
    "https://127.0.0.1:8080/cb",
    "http://[::ffff:127.0.0.1]:8080/cb",
    "com.example.app:/cb/x",
    "com.example.app://evil/cb",
    "com.example.APP:/cb",
]


@pytest.mark.parametrize("uri", TRICKS)
def test_what_is_not_exactly_registered_is_not_taken_for_it(uri: str) -> None:
    assert not is_registered(uri, REGISTERED)


async def test_no_trick_gets_a_redirect_out_of_the_server() -> None:
    async with running_rest() as rest:
        program = Program(rest, *await a_client(rest, *REGISTERED))
        surfer = Surfer(rest)
        for uri in TRICKS:
            answer = await surfer.get(program.request(redirect_uri=uri))
            assert (answer.status_code, "location" in answer.headers) == (400, False), uri


@pytest.mark.parametrize(
    "uri",
    [
        *REGISTERED,
        "http://127.0.0.1:5/cb",
        "http://127.0.0.1:65535/cb",
        "http://[::1]/cb",
        "http://[::1]:80/cb",
    ],
)
def test_a_registered_uri_and_any_port_of_a_loopback_one_are_taken(uri: str) -> None:
    assert is_registered(uri, REGISTERED)


def test_localhost_is_only_what_was_registered_port_included() -> None:
    assert is_registered("http://localhost:5/cb", ("http://localhost:5/cb",))
    assert not is_registered("http://localhost:6/cb", ("http://localhost:5/cb",))


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/callback",
        "https://app.example:8443/a?b=c",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:9090/",
        "http://localhost:8080/callback",
        "http://[::1]:1/cb",
        "com.example.app:/oauth",
    ],
)
def test_these_can_be_registered(uri: str) -> None:
    assert checked_redirect_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "callback",
        "/callback",
        "//app.example/callback",
        "http://app.example/callback",
        "https://",
        "https:///callback",
        "https://user@app.example/callback",
        "https://app.example/callback#f",
        "https://app.example/*",
        "https://*.example/callback",
        "https://app.example/a/../b",
        "https://app.example/%zz",
        "https://app.example/a b",
        "https://app.example/\\evil",
        "https://app.example:99999/",
        "https://app_example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "blob:https://app.example/x",
        "intent:x",
        "myapp:/cb",
        "HTTPS://app.example/cb",
        "https://app.example/" + "a" * 600,
        "https://аpp.example/callback",
        "https://app.example/cb\r\nx: y",
    ],
)
def test_these_cannot_be_registered(uri: str) -> None:
    with pytest.raises(Rejected):
        checked_redirect_uri(uri)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("https://app.example:8443/a?b", "https://app.example:8443"),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1:1"),
        ("http://[::1]:1/cb", "http:"),
        ("com.example.app:/cb", "com.example.app:"),
    ],
)
def test_the_consent_form_may_lead_to_the_client_and_nowhere_else(uri: str, target: str) -> None:
    assert form_target(uri) == target
