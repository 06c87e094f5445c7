"""Redirect URIs: which may be registered, and when one that a client sends is one that it registered.

The comparison is of strings, byte for byte: no prefix, no pattern, no normalising, since every reader of URLs
normalises in its own way. One exception (RFC 8252 §7.3): a native app that registered a loopback *address*
may use any port, because it gets one from its operating system at the moment it asks. Not so `localhost`,
which a resolver may answer with something else (§8.3).
"""

import re
from urllib.parse import urlsplit

from kernel.errors import Code, Rejected

URI_CHARS_MAX = 512
URIS_MAX = 20
NEVER = frozenset(
    {"about", "blob", "data", "file", "filesystem", "ftp", "intent", "javascript", "vbscript", "view-source"}
    | {"ws", "wss", "mailto", "tel"}
)
"""Schemes that run code, read files or leave the browser in ways that a code must not take."""

# Printable ASCII without what parsers disagree about (quotes, backslash, braces, ...), without the fragment,
# and without `*`, by which somebody would mean a pattern.
_CHARS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()+,;=%-]+")
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*|\[[0-9a-fA-F:]+\]")
_LOOPBACK = re.compile(r"http://(?P<host>127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?(?P<rest>/.*)?")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,62}")
_PORT_MAX = 65_535


def checked_redirect_uri(uri: str) -> str:
    """As it was given. Raises Rejected BAD_REQUEST for what a code must never be sent to."""
    if len(uri) > URI_CHARS_MAX or not _CHARS.fullmatch(uri):
        raise _refused(uri, f"at most {URI_CHARS_MAX} characters of a plain URI, without * and fragment")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise _refused(uri, "it is not a URI") from None
    scheme = parts.scheme
    if scheme in NEVER or not _PRIVATE_SCHEME.fullmatch(scheme) or not uri.startswith(f"{scheme}:"):
        raise _refused(uri, "its scheme must be https, http on loopback, or an app's own in lower case")
    if re.search(r"%(?![0-9A-Fa-f]{2})", uri) or re.search(r"(?:^|/)\.{1,2}(?:/|$)", parts.path):
        raise _refused(uri, "it has a broken escape or a . or .. in its path")
    if scheme in ("http", "https"):
        if "@" in parts.netloc or not _HOST.fullmatch(parts.netloc.removesuffix(f":{port}")):
            raise _refused(uri, "it must name a host, and no user")
        if scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise _refused(uri, "http is for loopback; anything else must be https")
    elif "." not in scheme or parts.netloc.count("@"):
        # RFC 8252 §7.1: a private scheme is a domain in reverse, so that two apps do not choose the same.
        raise _refused(uri, "an app's own scheme must be a domain of its maker in reverse (com.example.app:)")
    return uri


def is_registered(uri: str, registered: tuple[str, ...]) -> bool:
    """Whether a client that registered these may ask for an answer at `uri`."""
    if uri in registered:
        return True
    asked = _loopback(uri)
    return asked is not None and any(asked == _loopback(each) for each in registered)


def loopback_or_private(uri: str) -> bool:
    """Whether another program of the same machine could stand behind it: then each login asks the user."""
    return not uri.startswith("https://")


def form_target(uri: str) -> str:
    """What `form-action` of a content security policy must let a form be redirected to."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or "[" in parts.netloc:
        return f"{parts.scheme}:"  # the grammar has no address of version 6
    return f"{parts.scheme}://{parts.netloc}"


def _loopback(uri: str) -> tuple[str, str] | None:
    """`(host, path and query)` of a URI on a loopback address; None for any other."""
    found = _LOOPBACK.fullmatch(uri)
    if found is None or not _CHARS.fullmatch(uri):
        return None
    if found["port"] is not None and not 0 < int(found["port"]) <= _PORT_MAX:
        return None
    return found["host"], found["rest"] or ""


def _refused(uri: str, why: str) -> Rejected:
    return Rejected(Code.BAD_REQUEST, f"redirect URI {uri[:100]!r} rejected: {why}")
