"""One public TLS address in front of everything: the configuration of an HAProxy on the same machine.

    /socket/<host>    that host's sockets: a session lives in one process, so its socket must end there
    /s/…, /art/…      the edge: audio and covers
    the rest          Ray Serve: REST and the page

Each place has one server behind it, so none is checked: a check could only turn an honest 503 into HAProxy's
own. Nothing is logged, since paths hold leases; our processes log each request without them. What is for
operators (`/metrics`, Serve's `/-/…`) is not let through.
"""

import argparse
import re
import sys
from typing import Any
from urllib.parse import urlsplit

from kernel.errors import Code, Rejected, SegueError
from kernel.units import Clock
from serve.ingress import LOOPBACK
from serve.settings import SOCKET_PATH, Settings

_HEAD = """\
# One public TLS address in front of Segue, made by `segue proxy-config`. The server behind it runs on this
# machine with SEGUE_PUBLIC_URL={public_url} and {hosts} hosts.

global
    # How many connections there may be follows from `ulimit -n`: two files for each.
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    mode http
    retries 1
    timeout connect 2s
    timeout http-request 10s
    timeout client 60s
    timeout server 60s
    # Of a socket. Devices speak more often, and a host ends the silent ones sooner.
    timeout tunnel 5m

frontend public
    bind {listen}:{port} ssl crt {certificate} alpn h2,http/1.1
    # What a client says of itself here would be believed further in.
    http-request del-header x-forwarded-for
    http-request set-header x-forwarded-proto https
    option forwardfor
    http-response set-header strict-transport-security max-age=31536000
    http-request deny deny_status 404 if {{ path,url_dec -m str /metrics }} or {{ path,url_dec -m beg /-/ }}
    # A host that is not below is answered by Serve, with 404.
    use_backend %[path,field(3,/)] if {{ path -m reg ^{socket_path}host-[0-9]+/?$ }}
    use_backend edge if {{ path -m beg /s/ /art/ }}
    default_backend serve
"""

_BACKEND = """
backend {name}
    server {name} {address}:{port}
"""


def proxy_config(settings: Settings, *, certificate: str, listen: str = "*") -> str:
    """What HAProxy reads. `certificate`: path of a PEM file with chain and key; `listen`: an address of this
    machine.

    Raises Rejected BAD_REQUEST without a public address, or when `certificate` or `listen` cannot stand in a
    configuration.
    """
    if settings.public_url is None:
        raise Rejected(
            Code.BAD_REQUEST,
            "proxy configuration rejected: SEGUE_PUBLIC_URL says where clients come to, and it is not set",
        )
    for what, text in (("certificate", certificate), ("listen address", listen)):
        # A space would begin another of HAProxy's words, a line another of its rules.
        if not re.fullmatch(r"[\w./:*@+\[\]-]+", text):
            raise Rejected(
                Code.BAD_REQUEST, f"{what} {text!r} rejected: HAProxy would read it as several words"
            )
    address = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(settings.bind_host, settings.bind_host)
    backends = {
        **{f"host-{index}": settings.host_port(index) for index in range(settings.hosts)},
        "edge": settings.edge_port,
        "serve": settings.http_port,
    }
    head = _HEAD.format(
        public_url=settings.public_url,
        hosts=settings.hosts,
        listen=listen,
        port=urlsplit(settings.public_url).port or 443,
        certificate=certificate,
        socket_path=SOCKET_PATH,
    )
    return head + "".join(
        _BACKEND.format(name=name, address=address, port=port) for name, port in backends.items()
    )


def register(subparsers: Any) -> None:
    """Add `proxy-config`. (`argparse` has no public name for what `add_subparsers` gives.)"""
    parser = subparsers.add_parser(
        "proxy-config", help="print the configuration of an HAProxy in front of everything"
    )
    parser.add_argument("--certificate", required=True, metavar="FILE", help="PEM file with chain and key")
    parser.add_argument(
        "--listen", default="*", metavar="ADDRESS", help="address to listen on (default: every one)"
    )
    parser.add_argument("--hosts", metavar="N", help="as of `segue up`")
    parser.add_argument("--port", dest="http_port", metavar="N", help="as of `segue up`")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, settings: Settings, _: Clock) -> int:
    try:
        print(proxy_config(settings, certificate=args.certificate, listen=args.listen), end="")
    except SegueError as error:
        print(f"segue: {error.message}", file=sys.stderr)
        return 2
    return 0
