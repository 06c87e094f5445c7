"""`segue hosts`, `segue shards …`, `segue drain|undrain|roll`: who holds what, why, and how to move it.

Works on the stores: an order is written there and every host reads it within a second. Nothing here needs to
reach a host, but for the numbers that it publishes itself.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
from rich.table import Table

from actors import orders
from actors.placement import Orders, Plan
from actors.shards import N_SHARDS, shard_of
from kernel.errors import Code, Rejected, Unavailable
from kernel.ids import HostId, UserId
from serve.accounts import Accounts
from serve.admin_cli import Desk, handler
from serve.ingress import LOOPBACK
from serve.settings import Settings
from storage.ports import HostRecord, ShardOwner

LOOK_AGAIN_S = 1.5
"""A heartbeat that has not moved meanwhile is one that stands still."""
STEP_WITHIN_S = 120.0
"""For a host to become empty, to come back, or to have its share again."""
ASK_EVERY_S = 0.25
NUMBERS_WITHIN_S = 2.0
_HELD = re.compile(r'^segue_host_held\{what="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE)


def register(subparsers: Any) -> None:
    """Add the commands. (`argparse` has no public name for what `add_subparsers` gives.)"""
    hosts = subparsers.add_parser("hosts", help="who holds sessions, and how many")
    hosts.set_defaults(handler=handler(_hosts))
    shards = subparsers.add_parser("shards", help="which host owns whom, and why").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    explain = shards.add_parser("explain", help="the owner of a user (name or id) or shard, and why")
    explain.add_argument("key", metavar="KEY")
    explain.set_defaults(handler=handler(_explain))
    pin = shards.add_parser("pin", help="keep a shard on one host as long as that lives")
    pin.add_argument("key", metavar="KEY")
    pin.add_argument("host", metavar="HOST")
    pin.set_defaults(handler=handler(_pin))
    unpin = shards.add_parser("unpin", help="let it go where it belongs")
    unpin.add_argument("key", metavar="KEY")
    unpin.set_defaults(handler=handler(_unpin))
    for name, what, work in (
        ("drain", "move everything off a host, and wait until it is empty", _drain),
        ("undrain", "let a host have its share again", _undrain),
    ):
        parser = subparsers.add_parser(name, help=what)
        parser.add_argument("host", metavar="HOST")
        parser.set_defaults(handler=handler(work))
    roll = subparsers.add_parser("roll", help="restart every host, one after the other, each empty")
    roll.set_defaults(handler=handler(_roll))


class _Seen:
    """What the store says of hosts and shards; who lives is known after two looks."""

    def __init__(self, hosts: list[HostRecord], owners: list[ShardOwner], placed: Orders) -> None:
        self.hosts = {host.host_id: host for host in hosts}
        self.owners = {owner.shard: owner for owner in owners}
        self.orders = placed
        self.beating: set[HostId] = set()

    def owned(self) -> Counter[HostId]:
        """Shards of each host that are of its present life."""
        return Counter(
            owner.host_id
            for owner in self.owners.values()
            if owner.host_id in self.hosts and self.hosts[owner.host_id].incarnation == owner.incarnation
        )

    def state(self, host_id: HostId) -> str:
        host = self.hosts[host_id]
        if host.state != "up":
            return host.state
        if host_id not in self.beating:
            return "silent"
        return "draining" if host_id in self.orders.drained else "up"

    def plan(self) -> Plan:
        return Plan({host_id: self.hosts[host_id].weight for host_id in self.beating}, self.orders)


async def _see(desk: Desk) -> _Seen:
    ownership = desk.stores.ownership
    return _Seen(
        await ownership.hosts(), await ownership.owners(), await orders.read_orders(desk.stores.documents)
    )


async def _see_twice(desk: Desk) -> _Seen:
    before = await _see(desk)
    await asyncio.sleep(LOOK_AGAIN_S)
    seen = await _see(desk)
    seen.beating = {
        host_id
        for host_id, host in seen.hosts.items()
        if host.state == "up" and before.hosts.get(host_id) != host
    }
    return seen


# --- looking ----------------------------------------------------------------------------------------


async def _hosts(desk: Desk) -> None:
    seen = await _see_twice(desk)
    if not seen.hosts:
        desk.console.print("no hosts yet; segue up starts some")
        return
    owned = seen.owned()
    table = Table("host", "state", "shards", "sockets", "sessions", "life", "version", "address")
    for host_id, host in sorted(seen.hosts.items()):
        numbers = await _numbers(desk.settings, host) if host_id in seen.beating else {}
        table.add_row(
            host_id,
            seen.state(host_id),
            str(owned[host_id]),
            numbers.get("peers", "–"),
            numbers.get("listeners", "–"),
            str(host.incarnation),
            host.version,
            host.address,
        )
    desk.console.print(table)
    unowned = N_SHARDS - sum(count for host_id, count in owned.items() if host_id in seen.beating)
    if unowned:
        desk.console.print(f"{unowned} of {N_SHARDS} shards have no owner that lives")


async def _numbers(settings: Settings, host: HostRecord) -> dict[str, str]:
    """What it says it holds; nothing when it does not answer."""
    url = re.sub("^ws:", "http:", host.address.rstrip("/")) + "/metrics"
    if not url.startswith("http:"):
        # The proxy's address, which gives no numbers to strangers.
        index = int(host.host_id.rpartition("-")[2])
        url = f"http://{LOOPBACK}:{settings.host_port(index)}/metrics"
    try:
        async with httpx.AsyncClient(timeout=NUMBERS_WITHIN_S, trust_env=False) as http:
            text = (await http.get(url)).text
    except httpx.HTTPError:
        return {}
    return {what: f"{float(count):.0f}" for what, count in _HELD.findall(text)}


async def _explain(desk: Desk) -> None:
    shard = await _shard(desk)
    seen = await _see_twice(desk)
    plan = seen.plan()
    owner = seen.owners.get(shard)
    say = desk.console.print
    say(f"{desk.args.key} is in shard {shard}")
    if owner is None:
        say("nobody has owned it yet")
    else:
        host = seen.hosts.get(owner.host_id)
        of_life = host is not None and host.incarnation == owner.incarnation
        state = seen.state(owner.host_id) if of_life else "a life that has ended"
        say(
            f"owner: {owner.host_id}, life {owner.incarnation} ({state}), epoch {owner.owner_epoch},"
            f" by {owner.why}"
        )
    desired = plan.owner(shard)
    why = "pinned" if plan.is_pinned(shard) else "the highest score"
    say(f"should be: {desired} ({why})" if desired else "should be: nobody lives who could own it")
    for host_id, score in plan.scores(shard):
        say(f"  {host_id}  score {score:.4f}, weight {plan.weights[host_id]:g}")
    for host_id in sorted(seen.orders.drained):
        say(f"  {host_id}  is drained")


async def _shard(desk: Desk) -> int:
    """Of the user name, user id or shard number that was said. Raises Rejected for a number no shard has."""
    key: str = desk.args.key
    if not key.isdigit():
        account = await Accounts(desk.stores.documents, desk.clock).named(key)
        return shard_of(account.user_id if account else UserId(key))
    if int(key) >= N_SHARDS:
        raise Rejected(Code.BAD_REQUEST, f"shard {key} rejected: there are 0 to {N_SHARDS - 1}")
    return int(key)


# --- moving -----------------------------------------------------------------------------------------


async def _pin(desk: Desk) -> None:
    host_id = _known(await _see(desk), desk.args.host)
    shard = await _shard(desk)
    await orders.pin(desk.stores.documents, shard, host_id)
    desk.console.print(f"shard {shard} is kept on {host_id}, as long as that lives")


async def _unpin(desk: Desk) -> None:
    shard = await _shard(desk)
    await orders.unpin(desk.stores.documents, shard)
    desk.console.print(f"shard {shard} goes where it belongs")


async def _drain(desk: Desk) -> None:
    seen = await _see_twice(desk)
    host_id = _known(seen, desk.args.host)
    if not seen.beating - seen.orders.drained - {host_id}:
        raise Rejected(Code.DISALLOWED, f"drain of {host_id} rejected: no other host could take its shards")
    await orders.drain(desk.stores.documents, host_id)
    began_s = time.monotonic()
    await _until(desk, lambda now: not now.owned()[host_id], f"{host_id} is not empty")
    desk.console.print(f"{host_id} is empty after {time.monotonic() - began_s:.1f} s")


async def _undrain(desk: Desk) -> None:
    host_id = _known(await _see(desk), desk.args.host)
    await orders.undrain(desk.stores.documents, host_id)
    desk.console.print(f"{host_id} gets its share again")


async def _roll(desk: Desk) -> None:
    seen = await _see_twice(desk)
    documents = desk.stores.documents
    if seen.orders.drained:
        names = ", ".join(sorted(seen.orders.drained))
        raise Rejected(Code.DISALLOWED, f"roll rejected: {names} is drained; undrain it first")
    for host_id in sorted(seen.beating):
        began_s = time.monotonic()
        life = seen.hosts[host_id].incarnation
        await orders.drain(documents, host_id)
        await orders.restart(documents, host_id, life)
        try:
            await _until(
                desk,
                lambda now, host_id=host_id, life=life: (  # type: ignore[misc]
                    now.hosts[host_id].incarnation > life and now.hosts[host_id].heartbeat > 0
                ),
                f"{host_id} did not come back",
            )
        finally:
            await orders.undrain(documents, host_id)
            await orders.unrestart(documents, host_id)
        await _until(desk, lambda now, host_id=host_id: now.owned()[host_id] > 0, f"{host_id} got nothing")  # type: ignore[misc]
        desk.console.print(f"{host_id} is new, {time.monotonic() - began_s:.1f} s")


async def _until(desk: Desk, true: Callable[[_Seen], bool], otherwise: str) -> None:
    """Raises Unavailable TIMEOUT; what was ordered goes on being true."""
    ends_s = time.monotonic() + STEP_WITHIN_S
    while not true(await _see(desk)):
        if time.monotonic() > ends_s:
            raise Unavailable(Code.TIMEOUT, f"{otherwise} after {STEP_WITHIN_S:.0f} s")
        await asyncio.sleep(ASK_EVERY_S)


def _known(seen: _Seen, name: str) -> HostId:
    host_id = HostId(name)
    if host_id not in seen.hosts:
        there = ", ".join(sorted(seen.hosts)) or "none"
        raise Rejected(Code.NOT_FOUND, f"{name} asked for: there is no such host; there are {there}")
    return host_id
