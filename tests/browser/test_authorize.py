"""A real browser lets a client in: its own rules about forms, origins and redirects are tested here."""

import secrets
import subprocess
from collections.abc import Callable
from urllib.parse import urlencode

from tests.browser.conftest import Device
from tests.support.oauth import VERIFIER, challenge_of
from tests.support.server import ROOT, SEGUE, Server

REDIRECT = "http://127.0.0.1:9/callback"


def registered(server: Server) -> str:
    """The id of a new public client."""
    name = f"tuner-{secrets.token_hex(4)}"
    words = ["client", "--data", str(server.data_dir), "add", name, "--public", "--redirect", REDIRECT]
    added = subprocess.run([*SEGUE, *words], cwd=ROOT, text=True, check=True, capture_output=True)
    return added.stdout.split()[2]


def test_a_person_logs_in_allows_a_client_and_is_sent_to_it(
    server: Server, new_device: Callable[[], Device], account: tuple[str, str]
) -> None:
    fields = {
        "client_id": registered(server),
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "user-read-private",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    page = new_device().page
    page.goto(f"{server.url}/authorize?{urlencode(fields)}")
    page.get_by_label("User name").fill(account[0])
    page.get_by_label("Password").fill(account[1])
    page.get_by_role("button", name="Log in").click()
    # Nothing listens there; that the browser goes is enough.
    with page.expect_request(lambda request: request.url.startswith(f"{REDIRECT}?code=")):
        page.get_by_role("button", name="Allow", exact=True).click()


def test_the_page_itself_can_log_in_for_a_cookie_that_it_cannot_read(
    server: Server, new_device: Callable[[], Device], account: tuple[str, str]
) -> None:
    device = new_device()
    device.open()
    ask = """async ([path, body]) => {
        const headers = { "content-type": "application/json" };
        const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
        return [answer.status, document.cookie];
    }"""
    credentials = {"username": account[0], "password": account[1]}
    assert device.page.evaluate(ask, ["/login", credentials]) == [200, ""]
    assert device.page.evaluate(ask, ["/session/token", {}]) == [200, ""]
    assert device.page.evaluate(ask, ["/logout", {}]) == [204, ""]
    assert device.page.evaluate(ask, ["/session/token", {}]) == [401, ""]
