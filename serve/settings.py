"""Everything that may differ between two runs of Segue, read once from the environment and the command line.

The only place that reads the environment. The result is one frozen value that is passed as an argument, also
to other processes (it survives pickle). What nobody needs to change is a constant beside the code that uses
it.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from kernel.errors import Code, Rejected
from storage.stores import StoreUrls

PREFIX = "SEGUE_"
HOSTS_MAX = 256
PORT_MAX = 65_535
SOCKET_PATH = "/socket/"
"""Of a host's socket behind the proxy, followed by the host's name. A host takes any path."""

S = TypeVar("S", bound=StrEnum)

_CREDENTIALS = re.compile(r"//.*@")
"""What stands before the host in a URL, and must not stand in an error."""


class LogFormat(StrEnum):
    AUTO = "auto"
    """Console on a terminal, JSON otherwise."""
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One run's settings. Each field is the variable `SEGUE_<FIELD>` and an argument of the same name."""

    data_dir: Path = Path("data")
    """Folder of the embedded stores, made when missing. Relative: a newcomer finds it beside the code."""
    bind_host: str = "127.0.0.1"
    """Address that every port listens on. Loopback: nobody serves a network by accident."""
    public_host: str = "127.0.0.1"
    """Host name or address that clients reach this machine by; stands in the URLs that are handed out."""
    public_url: str | None = None
    """The one address of a TLS proxy in front of all ports (`https://music.example`), which `segue
    proxy-config` configures. None: clients come to each port themselves."""
    http_port: int = 8000
    """REST and the page. The edge listens on the next port, the hosts' sockets on those after it."""
    hosts: int = 1
    """Processes that hold sessions. `read` makes it the number of usable cores: each is one busy thread."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins whose pages may open a socket (`https://music.example`). `read` makes it this server's own
    page; empty lets in only clients that send no Origin, which no browser does."""
    token_ttl_s: int = 3600
    """Life of an access token, seconds. The Spotify Web API's figure, which client libraries expect."""
    ticket_ttl_s: int = 60
    """Life of a socket ticket, seconds: long enough for a slow handshake, too short to be worth stealing."""
    lease_s: int = 120
    """Life of a stream lease, seconds. How long a CDN that cannot ask may serve a device that was
    replaced."""
    mongo_url: str | None = None
    """`mongodb://…/DATABASE` for logs, ownership and documents. None is the embedded store, here as below."""
    redis_url: str | None = None
    """`redis://…` for playheads and device epochs."""
    s3_url: str | None = None
    """`s3://BUCKET`, or `http[s]://KEY:SECRET@HOST[:PORT]/BUCKET`, for audio and covers."""
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO
    """Lowest level that is written. Info is one line per finished turn and connection."""

    @property
    def edge_port(self) -> int:
        return self.http_port + 1

    def host_port(self, index: int) -> int:
        """Port of the sockets of the host with this 0-based index."""
        return self.http_port + 2 + index

    @property
    def http_url(self) -> str:
        """Where clients find REST and the page; no `/` at the end."""
        if self.public_url is not None:
            return self.public_url
        return f"http://{_in_url(self.public_host)}:{self.http_port}"

    @property
    def edge_url(self) -> str:
        """Where clients find audio and art; no `/` at the end."""
        if self.public_url is not None:
            return self.public_url
        return f"http://{_in_url(self.public_host)}:{self.edge_port}"

    def socket_url(self, index: int) -> str:
        if self.public_url is not None:
            return f"wss{self.public_url.removeprefix('https')}{SOCKET_PATH}host-{index}"
        return f"ws://{_in_url(self.public_host)}:{self.host_port(index)}/"

    @property
    def socket_source(self) -> str:
        """Where sockets may go, for a content security policy: hosts come and go on ports of a name."""
        if self.public_url is not None:
            return f"wss{self.public_url.removeprefix('https')}"
        return f"ws://{_in_url(self.public_host)}:*"

    @property
    def store_urls(self) -> StoreUrls:
        return StoreUrls(mongo=self.mongo_url, redis=self.redis_url, s3=self.s3_url)

    @classmethod
    def read(cls, env: Mapping[str, str] | None = None, **overrides: object) -> "Settings":
        """From the environment (`os.environ` unless given) and, above it, arguments that are not None.

        Raises Rejected BAD_REQUEST with one line that names the variable or argument, what it said, and what
        it may be. An empty variable counts as absent, as shells make those.
        """
        env = os.environ if env is None else env
        if unknown := sorted(overrides.keys() - _PARSERS.keys()):
            raise _bad(f"setting {unknown[0]!r} rejected: there is no such setting")
        values: dict[str, object] = {}
        for field, parse in _PARSERS.items():
            if (given := overrides.get(field)) is not None:
                values[field] = _parsed(field, given, parse)
            elif text := env.get(PREFIX + field.upper(), "").strip():
                values[field] = _parsed(PREFIX + field.upper(), text, parse)
        values.setdefault("hosts", min(_usable_cores(), HOSTS_MAX))
        settings = cls(**values)  # type: ignore[arg-type]  # each value comes from its field's parser
        if not settings.allowed_origins:
            settings = msgspec.structs.replace(settings, allowed_origins=_own_origins(settings))
        if settings.host_port(settings.hosts - 1) > PORT_MAX:
            raise _bad(
                f"http_port {settings.http_port} with {settings.hosts} hosts rejected: the last port would be"
                f" {settings.host_port(settings.hosts - 1)}, above {PORT_MAX}"
            )
        return settings


def _parsed(name: str, given: object, parse: Callable[[str], object]) -> object:
    text = ",".join(map(str, given)) if isinstance(given, list | tuple) else str(given)
    try:
        return parse(text)
    except ValueError as fault:
        raise _bad(f"{name}={_CREDENTIALS.sub('//…@', text)!r} rejected: {fault}") from None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"it must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _one_of(choices: type[S]) -> Callable[[str], S]:
    def parse(text: str) -> S:
        try:
            return choices(text.lower())
        except ValueError:
            raise ValueError(f"it must be one of {', '.join(choices)}") from None

    return parse


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        if re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*", text) and len(text) <= 253:
            return text.lower()
        raise ValueError("it must be a host name or an IP address") from None


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        # Exact strings as browsers send them: a pattern that lets in a little more lets in everybody.
        if not re.fullmatch(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", origin):
            raise ValueError(
                f"{origin!r} is not an origin such as https://music.example (lower case, no path)"
            )
    return origins


def _public_url(text: str) -> str:
    found = re.fullmatch(r"https://([^/?#@:\[\]]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?/?", text)
    if found is None or (found[2] is not None and not 1 <= int(found[2]) <= PORT_MAX):
        raise ValueError("it must be an address such as https://music.example or https://music.example:8443")
    port = "" if found[2] in (None, "443") else f":{int(found[2])}"
    # As browsers write an origin: lower case, without the port that https has anyway.
    return f"https://{_in_url(_host(found[1]))}{port}"


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(rf"(?:{'|'.join(map(re.escape, schemes))})://[^\s/?#]+\S*", text):
            raise ValueError(f"it must be a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return text

    return parse


def _folder(text: str) -> Path:
    if "\0" in text:
        raise ValueError("it must be the path of a folder")
    return Path(text).expanduser()


def _own_origins(settings: Settings) -> tuple[str, ...]:
    if settings.public_url is not None:
        return (settings.public_url,)
    names = [_in_url(settings.public_host)]
    if _is_loopback(settings.public_host):
        # A browser that was told one of these names sends that one, and they are the same machine.
        names += [name for name in ("127.0.0.1", "localhost") if name not in names]
    return tuple(f"http://{name}:{settings.http_port}" for name in names)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _bad(message: str) -> Rejected:
    return Rejected(Code.BAD_REQUEST, message)


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "data_dir": _folder,
    "bind_host": _host,
    "public_host": _host,
    "public_url": _public_url,
    "http_port": _whole(1, PORT_MAX),
    "hosts": _whole(1, HOSTS_MAX),
    "allowed_origins": _origins,
    "token_ttl_s": _whole(60, 86_400),
    "ticket_ttl_s": _whole(5, 600),
    "lease_s": _whole(10, 3600),
    "mongo_url": _url("mongodb", "mongodb+srv"),
    "redis_url": _url("redis", "rediss"),
    "s3_url": _url("s3", "http", "https"),
    "log_format": _one_of(LogFormat),
    "log_level": _one_of(LogLevel),
}


def user_folders(env: Mapping[str, str] | None = None) -> tuple[Path, Path]:
    """Where the commands of a client keep things: `(configuration, state)`, by the XDG base directories."""
    env = os.environ if env is None else env
    home = Path.home()
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    state = Path(env.get("XDG_STATE_HOME") or home / ".local" / "state")
    return config / "segue", state / "segue"
