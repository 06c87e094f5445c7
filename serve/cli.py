"""`segue`: the command line. Each command is registered by the module that does it."""

import argparse
import sys

from actors.clock import SystemClock
from client import cli as client_cli
from kernel.errors import SegueError
from media import ffmpeg
from serve import admin_cli, front, hosts_cli, up
from serve.settings import Settings, user_folders
from serve.version import VERSION

STORES = (
    ("mongo", "accounts, catalogue, sessions' logs and ownership"),
    ("redis", "playheads and device epochs"),
    ("s3", "audio and covers"),
)
"""Stores that may be elsewhere. A URL with a password belongs in the variable: everybody sees arguments."""


def main() -> int:
    """Entry point of the `segue` script; gives the exit status."""
    parser = argparse.ArgumentParser(prog="segue", description="Music sessions that move between devices.")
    parser.add_argument("--version", action="version", version=f"segue {VERSION}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up.register(subparsers)
    admin_cli.register(subparsers)
    hosts_cli.register(subparsers)
    front.register(subparsers)
    config_dir, state_dir = user_folders()
    client_cli.register(
        subparsers, client_cli.Places(config_dir=config_dir, state_dir=state_dir, ffmpeg=ffmpeg.executable)
    )
    for name in ("up", "user", "client", "keys", "hosts", "shards", "drain", "undrain", "roll"):
        subparsers.choices[name].add_argument(
            "--data", dest="data_dir", metavar="DIR", help="where everything is kept (default: ./data)"
        )
        for store, what in STORES:
            subparsers.choices[name].add_argument(
                f"--{store}",
                dest=f"{store}_url",
                metavar="URL",
                help=f"keep {what} there (SEGUE_{store.upper()}_URL)",
            )
    args = parser.parse_args()
    try:
        settings = Settings.read(
            data_dir=getattr(args, "data_dir", None),
            http_port=getattr(args, "http_port", None),
            hosts=getattr(args, "hosts", None),
            **{f"{store}_url": getattr(args, f"{store}_url", None) for store, _ in STORES},
        )
    except SegueError as error:
        print(f"segue: {error.message}", file=sys.stderr)
        return 2
    status: int = args.handler(args, settings, SystemClock())
    return status


if __name__ == "__main__":
    sys.exit(main())
