"""`segue user …`, `segue client …` and `segue keys …`: what an operator does from a terminal.

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
from rich.markup import escape
from rich.table import Table

from catalog.model import Plan
from kernel.errors import Code, Rejected, SegueError
from kernel.units import Clock, Millis
from serve.accounts import (
    Account,
    Accounts,
    checked_country,
    checked_password,
    checked_plan,
    checked_username,
)
from serve.identity.clients import Clients
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
    """Add `user`, `client` and `keys`. (`argparse` has no public name for what `add_subparsers` gives.)"""
    user = subparsers.add_parser("user", help="accounts: who may log in").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    add = user.add_parser("add", help="make an account; asks for the password")
    add.add_argument("username")
    add.add_argument("--plan", default=Plan.PREMIUM, help=f"one of {', '.join(Plan)} (default: %(default)s)")
    add.add_argument("--country", default="US", help="ISO 3166 code of two letters (default: %(default)s)")
    add.add_argument("--explicit-filter", action="store_true", help="never play explicit tracks")
    _takes_password(add)
    add.set_defaults(handler=handler(_user_add))
    user.add_parser("list", help="all accounts").set_defaults(handler=handler(_user_list))
    passwd = user.add_parser("passwd", help="replace a password; asks for the new one")
    passwd.add_argument("username")
    _takes_password(passwd)
    passwd.set_defaults(handler=handler(_user_passwd))
    for action, what in (("disable", "refuse to log in"), ("enable", "let in again")):
        parser = user.add_parser(action, help=what)
        parser.add_argument("username")
        parser.set_defaults(handler=handler(_user_disable if action == "disable" else _user_enable))

    logout = user.add_parser("logout", help="log out everywhere: sessions, tokens, sockets")
    logout.add_argument("username")
    logout.set_defaults(handler=handler(_user_logout))

    client = subparsers.add_parser("client", help="programs of others that may ask in a user's name")
    actions = client.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_client = actions.add_parser("add", help="register one; prints its id, and its secret once")
    add_client.add_argument("name", help="what users will see")
    add_client.add_argument(
        "--redirect",
        action="append",
        default=[],
        metavar="URI",
        help="where users may be sent back to, exactly; may stand several times",
    )
    add_client.add_argument("--public", action="store_true", help="it cannot keep a secret, and uses PKCE")
    add_client.add_argument(
        "--country", default="US", help="market that it sees without a user (default: %(default)s)"
    )
    add_client.set_defaults(handler=handler(_client_add))
    actions.add_parser("list", help="all clients").set_defaults(handler=handler(_client_list))
    remove = actions.add_parser("remove", help="its tokens are refused within seconds")
    remove.add_argument("client_id")
    remove.set_defaults(handler=handler(_client_remove))

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
    rotate.set_defaults(handler=handler(_keys_rotate))


def _takes_password(parser: argparse.ArgumentParser) -> None:
    # Not as an argument: those are in the shell's history and in everybody's list of processes.
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of standard input",
    )


def handler(work: Work) -> Handler:
    """`work` on opened stores, with one line and a status of 1 for what is refused or unavailable."""

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
    stores = open_stores(settings.data_dir, clock, settings.store_urls)
    try:
        await stores.prepare()
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
    return (
        account.username,
        account.user_id,
        account.plan,
        account.country,
        "filtered" if account.explicit_filter else "played",
        _date(account.created_at_ms),
        _state(account),
    )


def _state(account: Account) -> str:
    if account.disabled:
        return "disabled"
    return "one-time password" if account.must_change else "enabled"


def _date(at_ms: Millis) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")


async def _user_passwd(desk: Desk) -> None:
    accounts = Accounts(desk.stores.documents, desk.clock)
    await accounts.set_password(desk.args.username, _password(desk.args))
    desk.console.print(f"new password for {desk.args.username}")


async def _user_disable(desk: Desk) -> None:
    await Accounts(desk.stores.documents, desk.clock).set_disabled(desk.args.username, disabled=True)
    desk.console.print(f"disabled {desk.args.username}; running servers follow within seconds")


async def _user_enable(desk: Desk) -> None:
    await Accounts(desk.stores.documents, desk.clock).set_disabled(desk.args.username, disabled=False)
    desk.console.print(f"enabled {desk.args.username}")


async def _user_logout(desk: Desk) -> None:
    await Accounts(desk.stores.documents, desk.clock).log_out(desk.args.username)
    desk.console.print(f"logged {desk.args.username} out; running servers follow within seconds")


async def _client_add(desk: Desk) -> None:
    args = desk.args
    client, secret = await Clients(desk.stores.documents, desk.clock).add(
        args.name, redirect_uris=tuple(args.redirect), public=args.public, country=args.country
    )
    desk.console.print(f"client id      {client.client_id}")
    if secret:
        desk.console.print(f"client secret  {secret}")
        desk.console.print("The secret is kept nowhere else.")


async def _client_list(desk: Desk) -> None:
    table = Table("client id", "name", "kind", "redirect URIs", "made")
    clients = Clients(desk.stores.documents, desk.clock)
    page = await clients.page(limit=PAGE)
    while page:
        for client in page:
            kind = "public" if client.is_public else "confidential"
            uris = "\n".join(client.redirect_uris)
            made = _date(client.created_at_ms)
            table.add_row(*map(escape, (client.client_id, client.name, kind, uris, made)))
        page = await clients.page(after=page[-1].client_id, limit=PAGE)
    desk.console.print(table if table.row_count else "no clients; register one with: segue client add NAME")


async def _client_remove(desk: Desk) -> None:
    client = await Clients(desk.stores.documents, desk.clock).remove(desk.args.client_id)
    desk.console.print(f"removed {client.name}; running servers follow within seconds", markup=False)


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
