"""A person with a browser, and a program that wants to act for them: both sides of a login."""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from catalog.model import Plan
from serve.accounts import Account
from serve.identity.clients import Client, Clients
from tests.support.rest import Rest

PASSWORD = "correct horse"
ORIGIN = "http://127.0.0.1:8000"
REDIRECT = "https://app.example/callback"
VERIFIER = "v" * 20 + "E" * 20 + "9" * 20
SCOPE = "user-read-private user-read-playback-state"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


async def grace(rest: Rest, username: str = "Grace") -> Account:
    return await rest.accounts.add(username, PASSWORD, plan=Plan.STUDENT, country="SE")


async def a_client(
    rest: Rest, *redirects: str, public: bool = True, name: str = "Tuner"
) -> tuple[Client, str]:
    clients = Clients(rest.stores.documents, rest.clock)
    return await clients.add(name, redirect_uris=redirects or (REDIRECT,), public=public)


class Program:
    """A registered client that asks at the token endpoint."""

    def __init__(self, rest: Rest, client: Client, secret: str = "") -> None:
        self.rest = rest
        self.client = client
        self.secret = secret
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(rest.api), base_url=ORIGIN)

    def request(self, **more: str) -> str:
        """The path that it sends its user to."""
        fields = {
            "client_id": self.client.client_id,
            "response_type": "code",
            "redirect_uri": self.client.redirect_uris[0],
            "scope": SCOPE,
            "state": "xyz",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            **more,
        }
        return "/authorize?" + urlencode({name: value for name, value in fields.items() if value})

    async def token(self, **form: str) -> httpx.Response:
        if self.secret:
            auth = httpx.BasicAuth(self.client.client_id, self.secret)
            return await self.http.post("/api/token", data=form, auth=auth)
        return await self.http.post("/api/token", data={"client_id": self.client.client_id, **form})

    async def redeem(self, code: str, **more: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uris[0],
            "code_verifier": VERIFIER,
            **more,
        }
        return await self.token(**{name: value for name, value in form.items() if value})

    async def refresh(self, token: str, **more: str) -> httpx.Response:
        return await self.token(grant_type="refresh_token", refresh_token=token, **more)


class Surfer:
    """A browser that keeps cookies and sends an Origin with every form, as browsers do."""

    def __init__(self, rest: Rest, *, address: str = "127.0.0.1") -> None:
        transport = httpx.ASGITransport(rest.api, client=(address, 4444))
        self.http = httpx.AsyncClient(transport=transport, base_url=ORIGIN)
        self.csrf = ""

    async def get(self, path: str) -> httpx.Response:
        return self._read(await self.http.get(path))

    async def send(
        self, path: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The form of the page that was seen last."""
        answer = await self.http.post(
            path, data={"csrf": self.csrf, **form}, headers={"origin": ORIGIN, **(headers or {})}
        )
        return self._read(answer)

    async def log_in(self, path: str, username: str = "Grace", password: str = PASSWORD) -> httpx.Response:
        """Open the page, fill in its login form, and follow to where it leads."""
        await self.get(path)
        answer = await self.send(path, {"action": "login", "username": username, "password": password})
        return await self.get(answer.headers["location"]) if answer.status_code == 303 else answer

    async def press(self, path: str, button: str, **form: str) -> httpx.Response:
        return await self.send(path, {"action": button, **form})

    async def json(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers={"origin": ORIGIN, **headers})

    def _read(self, answer: httpx.Response) -> httpx.Response:
        found = re.search(r'name="csrf" value="([^"]*)"', answer.text)
        self.csrf = html.unescape(found.group(1)) if found else self.csrf
        return answer


def sent_to(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """`(redirect URI, what it was told)` of an answer that leads to the client."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["location"])
    return f"{parts.scheme}://{parts.netloc}{parts.path}", dict(parse_qsl(parts.query))


async def a_code(rest: Rest, program: Program, surfer: Surfer | None = None, **more: str) -> str:
    """Through login and consent of Grace, as a person would."""
    path = program.request(**more)
    surfer = surfer or Surfer(rest)
    answer = await surfer.log_in(path)
    # A consent that was given before is not asked for again.
    _, told = sent_to(answer if answer.status_code == 303 else await surfer.press(path, "allow"))
    return told["code"]


async def logged_in(rest: Rest, program: Program) -> dict[str, Any]:
    """The tokens of a whole login of Grace."""
    answer = await program.redeem(await a_code(rest, program))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def news(rest: Rest) -> None:
    """What every process does within a second: learn what was withdrawn."""
    assert rest.tokens.withdrawals is not None, "the test's own tokens have them"
    await rest.tokens.withdrawals.refresh()


async def works(rest: Rest, access_token: str) -> bool:
    answer = await rest.client.get("/v1/me", headers={"authorization": f"Bearer {access_token}"})
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def refusal(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["error_description"]
    return answer.status_code, body["error"]
