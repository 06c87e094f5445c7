"""`segue user …` and `segue keys …`: what an operator does to accounts and keys from a terminal.

Works on the stores directly, so it needs no running server and may be used beside one.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from catalog.model import Plan
from kernel.errors import Code, Rejected, SegueError
from kernel.units import Clock
from serve.accounts import (
    Account,
    Accounts,
    checked_country,
    checked_password,
    checked_plan,
    checked_username,
)
from serve.keys import KeyRing, Purpose
from serve.settings import Settings
from storage.stores import Stores, open_stores

PAGE = 200


class Desk(NamedTuple):
    """What a command works with."""

    args: argparse.Namespace
    stores: Stores
    clock: Clock
    settings: Settings
    console: Console


Work = Callable[[Desk], Awaitable[None]]
Handler = Callable[[argparse.Namespace, Settings, Clock], int]
"""Gives the exit code. `register` leaves one as `args.handler`."""


def register(subparsers: Any) -> None:
    """Add `user` and `keys`. (`argparse` has no public name for what `add_subparsers` gives.)"""
    user = subparsers.add_parser("user", help="accounts: who may log in").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    add = user.add_parser("add", help="make an account; asks for the password")
    add.add_argument("username")
    add.add_argument("--plan", default=Plan.PREMIUM, help=f"one of {', '.join(Plan)} (default: %(default)s)")
    add.add_argument("--country", default="US", help="ISO 3166 code of two letters (default: %(default)s)")
    add.add_argument("--explicit-filter", action="store_true", help="never play explicit tracks")
    _takes_password(add)
    add.set_defaults(handler=_handler(_user_add))
    user.add_parser("list", help="all accounts").set_defaults(handler=_handler(_user_list))
    passwd = user.add_parser("passwd", help="replace a password; asks for the new one")
    passwd.add_argument("username")
    _takes_password(passwd)
    passwd.set_defaults(handler=_handler(_user_passwd))
    for action, what in (("disable", "refuse to log in"), ("enable", "let in again")):
        parser = user.add_parser(action, help=what)
        parser.add_argument("username")
        parser.set_defaults(handler=_handler(_user_disable if action == "disable" else _user_enable))

    keys = subparsers.add_parser("keys", help="the keys that sign tokens and leases").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    rotate = keys.add_parser("rotate", help="sign with a new key from now on")
    rotate.add_argument("purpose", choices=[str(purpose) for purpose in Purpose])
    rotate.add_argument(
        "--revoke-older",
        action="store_true",
        help="for a key that leaked: refuse at once what the older keys signed",
    )
    rotate.set_defaults(handler=_handler(_keys_rotate))


def _takes_password(parser: argparse.ArgumentParser) -> None:
    # Not as an argument: those are in the shell's history and in everybody's list of processes.
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of standard input",
    )


def _handler(work: Work) -> Handler:
    def handle(args: argparse.Namespace, settings: Settings, clock: Clock) -> int:
        try:
            asyncio.run(_with_stores(work, args, settings, clock))
        except SegueError as refused:
            Console(stderr=True, soft_wrap=True, highlight=False).print(
                f"segue: {refused.message}", markup=False
            )
            return 1
        return 0

    return handle


async def _with_stores(work: Work, args: argparse.Namespace, settings: Settings, clock: Clock) -> None:
    stores = open_stores(settings.data_dir, clock)
    try:
        await work(Desk(args, stores, clock, settings, Console(highlight=False, soft_wrap=True)))
    finally:
        await stores.close()


async def _user_add(desk: Desk) -> None:
    args = desk.args
    # Everything that can be wrong is, before anybody is asked for a password.
    checked_username(args.username)
    checked_plan(args.plan)
    checked_country(args.country)
    accounts = Accounts(desk.stores.documents, desk.clock)
    account = await accounts.add(
        args.username,
        _password(args),
        plan=args.plan,
        country=args.country,
        explicit_filter=args.explicit_filter,
    )
    desk.console.print(f"added {account.username} ({account.user_id}), {account.plan}, {account.country}")


async def _user_list(desk: Desk) -> None:
    table = Table("user name", "id", "plan", "country", "explicit", "made", "state")
    accounts = Accounts(desk.stores.documents, desk.clock)
    page = await accounts.page(limit=PAGE)
    while page:
        for account in page:
            table.add_row(*_row(account))
        page = await accounts.page(after=page[-1].user_id, limit=PAGE)
    desk.console.print(table if table.row_count else "no accounts; make one with: segue user add NAME")


def _row(account: Account) -> tuple[str, ...]:
    made = datetime.fromtimestamp(account.created_at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
    return (
        account.username,
        account.user_id,
        account.plan,
        account.country,
        "filtered" if account.explicit_filter else "played",
        made,
        "disabled" if account.disabled else "enabled",
    )


async def _user_passwd(desk: Desk) -> None:
    accounts = Accounts(desk.stores.documents, desk.clock)
    await accounts.set_password(desk.args.username, _password(desk.args))
    desk.console.print(f"new password for {desk.args.username}")


async def _user_disable(desk: Desk) -> None:
    await Accounts(desk.stores.documents, desk.clock).set_disabled(desk.args.username, disabled=True)
    desk.console.print(
        f"disabled {desk.args.username}; tokens that exist run out within {desk.settings.token_ttl_s} s"
    )


async def _user_enable(desk: Desk) -> None:
    await Accounts(desk.stores.documents, desk.clock).set_disabled(desk.args.username, disabled=False)
    desk.console.print(f"enabled {desk.args.username}")


async def _keys_rotate(desk: Desk) -> None:
    ring = await KeyRing.open(desk.stores.documents, desk.clock, desk.settings)
    key = await ring.rotate(Purpose(desk.args.purpose), revoke_older=desk.args.revoke_older)
    desk.console.print(f"{key.kid} signs from now on; running servers follow within 30 s")


def _password(args: argparse.Namespace) -> str:
    if args.password_stdin:
        return checked_password(sys.stdin.readline().rstrip("\r\n"))
    if not sys.stdin.isatty():
        raise Rejected(Code.BAD_REQUEST, "no password: there is no terminal to ask on; use --password-stdin")
    password = checked_password(getpass.getpass("password: "))
    if getpass.getpass("again: ") != password:
        raise Rejected(Code.BAD_REQUEST, "no password: the two differ")
    return password
