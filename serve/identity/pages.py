"""The pages that ask who somebody is, as plain HTML: no script at all, everything that is shown escaped."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

STYLE_PATH = "/identity/style.css"

SCOPE_WORDS = {
    "app-remote-control": "Control playback in its own player",
    "playlist-modify-private": "Change your private playlists",
    "playlist-modify-public": "Change your public playlists",
    "playlist-read-collaborative": "See playlists that you share with others",
    "playlist-read-private": "See your private playlists",
    "streaming": "Play music as one of your devices",
    "ugc-image-upload": "Upload pictures for you",
    "user-follow-modify": "Change whom you follow",
    "user-follow-read": "See whom you follow",
    "user-library-modify": "Change what you saved",
    "user-library-read": "See what you saved",
    "user-modify-playback-state": "Play, pause and change what plays on your devices",
    "user-read-currently-playing": "See what you are playing",
    "user-read-email": "See your email address",
    "user-read-playback-position": "See where you stopped in what you heard",
    "user-read-playback-state": "See your devices and what plays on them",
    "user-read-private": "See your plan and country",
    "user-read-recently-played": "See what you played lately",
    "user-top-read": "See what you play most",
}


def page(
    title: str, *body: str, status: int = 200, form_targets: Iterable[str] = (), csrf: str = ""
) -> Response:
    """A whole answer. `body` is HTML already; `form_targets` is where its forms may end up beside here."""
    text = (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)} · Segue</title><link rel="stylesheet" href="{STYLE_PATH}"></head>\n'
        f'<body><main><p class="wordmark">Segue</p>\n<h1>{escape(title)}</h1>\n'
        + "\n".join(part.replace("<!--csrf-->", _hidden("csrf", csrf)) for part in body if part)
        + "\n</main></body></html>\n"
    )
    targets = " ".join(("'self'", *form_targets))
    headers = {
        "cache-control": "no-store",
        "content-security-policy": (
            "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none';"
            f" form-action {targets}"
        ),
        "x-frame-options": "DENY",
        # Not `no-referrer`: browsers then send our own forms with the origin `null`.
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
    }
    return Response(text, status_code=status, media_type="text/html", headers=headers)


def login_form(action: str, *, wrong: str = "", username: str = "") -> str:
    return (
        f"{_wrong(wrong)}"
        f'<form method="post" action="{escape(action)}"><!--csrf-->'
        f'<label>User name <input name="username" value="{escape(username)}" autocomplete="username"'
        ' autocapitalize="none" spellcheck="false" required></label>'
        '<label>Password <input name="password" type="password" autocomplete="current-password" required>'
        "</label>"
        '<button class="primary" name="action" value="login">Log in</button></form>'
    )


def consent_form(
    action: str,
    *,
    client_name: str,
    username: str,
    scopes: Iterable[str],
    goes_to: str,
    user_code: str = "",
) -> str:
    wishes = "".join(f"<li>{escape(SCOPE_WORDS.get(scope, scope))}</li>" for scope in sorted(scopes))
    asks = f"<p>It will be able to:</p><ul>{wishes}</ul>" if wishes else "<p>It sees your public profile.</p>"
    code = (
        f'<p>Its screen shows this code, does it not?</p><p class="code">{escape(user_code)}</p>'
        if user_code
        else ""
    )
    target = f'<p class="quiet">You will be sent to {escape(goes_to)}</p>' if goes_to else ""
    return (
        f"<p><strong>{escape(client_name)}</strong> asks to act for <strong>{escape(username)}</strong>.</p>"
        f"{code}{asks}{target}"
        f'<form method="post" action="{escape(action)}"><!--csrf-->'
        f"{_hidden('user_code', user_code) if user_code else ''}"
        '<button class="primary" name="action" value="allow">Allow</button>'
        '<button name="action" value="deny">Do not allow</button>'
        '<button name="action" value="other">Use another account</button></form>'
    )


def user_code_form(*, wrong: str = "", user_code: str = "") -> str:
    return (
        f"{_wrong(wrong)}"
        '<form method="post" action="/device"><!--csrf-->'
        '<label>The code on the screen of your device <input class="code" name="user_code"'
        f' value="{escape(user_code)}" autocomplete="off" autocapitalize="characters" spellcheck="false"'
        " required></label>"
        '<button class="primary" name="action" value="find">Go on</button></form>'
    )


def password_form(*, wrong: str = "", username: str = "") -> str:
    return (
        f"{_wrong(wrong)}"
        '<form method="post" action="/password"><!--csrf-->'
        f'<label>User name <input name="username" value="{escape(username)}" autocomplete="username"'
        ' autocapitalize="none" spellcheck="false" required></label>'
        '<label>Password until now <input name="password" type="password" autocomplete="current-password"'
        " required></label>"
        '<label>New password <input name="new_password" type="password" autocomplete="new-password"'
        ' minlength="8" required></label>'
        '<label>New password again <input name="again" type="password" autocomplete="new-password"'
        " required></label>"
        '<button class="primary" name="action" value="change">Change it</button></form>'
    )


def paragraph(text: str, *, quiet: bool = False) -> str:
    return f'<p class="quiet">{escape(text)}</p>' if quiet else f"<p>{escape(text)}</p>"


def link(href: str, text: str) -> str:
    return f'<p><a href="{escape(href)}">{escape(text)}</a></p>'


async def style(_: Request) -> Response:
    return Response(
        _STYLE_FILE.read_text(),  # 2 kB, from the page cache
        media_type="text/css",
        headers={"cache-control": "public, max-age=3600"},
    )


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'


def _wrong(text: str) -> str:
    return f'<p class="wrong" role="alert">{escape(text)}</p>' if text else ""


_STYLE_FILE = Path(__file__).with_name("style.css")
