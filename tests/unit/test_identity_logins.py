"""Guessing: what it costs, how often it may be tried, and that no answer tells which names exist."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from kernel.errors import Code, SegueError, Unavailable
from serve.accounts import (
    ACCOUNT_TRIES_BURST,
    ACCOUNT_TRY_EVERY_S,
    ADDRESS_TRIES_BURST,
    RANGE_TRIES_BURST,
    Accounts,
)
from serve.identity.addresses import range_of
from storage.memory import MemoryDocuments, MemoryVolatile
from tests.support.clock import FakeClock
from tests.support.oauth import PASSWORD, Program, Surfer, a_client, grace
from tests.support.rest import Rest, running_rest
from tests.unit.test_accounts import CheapHasher

Try = Callable[[Rest, str, str], Awaitable[httpx.Response]]


async def by_form(rest: Rest, username: str, password: str) -> httpx.Response:
    form = {"grant_type": "password", "username": username, "password": password}
    return await rest.client.post("/api/token", data=form)


async def by_json(rest: Rest, username: str, password: str) -> httpx.Response:
    return await Surfer(rest).json("/login", {"username": username, "password": password})


async def by_page(rest: Rest, username: str, password: str) -> httpx.Response:
    program = Program(rest, *await a_client(rest))
    return await Surfer(rest).log_in(program.request(), username, password)


@pytest.mark.parametrize("attempt", [by_form, by_json, by_page])
async def test_every_door_counts_the_same_tries_and_says_when_to_come_back(attempt: Try) -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        for _ in range(ACCOUNT_TRIES_BURST):
            assert (await by_form(rest, "Grace", "guess")).status_code == 400
        limited = await attempt(rest, "GRACE", PASSWORD)
        assert limited.status_code == 429
        clock.advance(int(limited.headers["retry-after"]) * 1000)
        assert (await attempt(rest, "Grace", PASSWORD)).status_code == 200


@pytest.mark.parametrize("attempt", [by_form, by_json, by_page])
async def test_no_door_says_whether_a_name_exists(attempt: Try) -> None:
    async with running_rest() as rest:
        await grace(rest)
        wrong, unknown = await attempt(rest, "Grace", "guess"), await attempt(rest, "Grave", "guess")
        assert wrong.status_code == unknown.status_code
        assert wrong.status_code in (400, 401)
        if attempt is not by_page:  # whose forms differ in their tokens, and hold the name
            assert wrong.json() == unknown.json()


async def test_every_kind_of_wrong_costs_one_hash() -> None:
    hasher = CheapHasher()
    accounts = Accounts(MemoryDocuments(), FakeClock(), hasher=hasher)
    await accounts.add("grace", PASSWORD)
    await accounts.add("blocked", PASSWORD)
    await accounts.add("fresh", PASSWORD, must_change=True)
    await accounts.set_disabled("blocked", disabled=True)
    await accounts.verify("warms up what nobody has", "x")
    for name, password in (
        ("grace", "wrong horse"),
        ("nobody", PASSWORD),
        ("blocked", PASSWORD),
        ("fresh", "wrong horse"),
        ("grace", "x" * 5000),
        ("grace", ""),
        ("grace", PASSWORD),
    ):
        before = hasher.verified
        await accounts.verify(name, password)
        assert hasher.verified == before + 1, name


async def test_a_range_of_addresses_shares_one_limit_and_a_neighbour_has_its_own() -> None:
    async with running_rest(clock=FakeClock(), behind_proxy=True) as rest:

        async def guess(number: int, address: str) -> int:
            form = {"grant_type": "password", "username": f"guess{number}", "password": "guess"}
            headers = {"x-forwarded-for": address}
            return (await rest.client.post("/api/token", data=form, headers=headers)).status_code

        hosts = RANGE_TRIES_BURST // (ADDRESS_TRIES_BURST - 5) + 1
        codes = [await guess(number, f"10.0.0.{1 + number % hosts}") for number in range(RANGE_TRIES_BURST)]
        assert set(codes) == {400}
        assert await guess(999, "10.0.0.200") == 429
        assert await guess(999, "10.0.1.200") == 400


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", "10.1.2.0/24"),
        ("2001:db8:1:2ff::1", "2001:db8:1:200::/56"),
        ("2001:db8:1:200:ffff::9", "2001:db8:1:200::/56"),
        ("::ffff:10.1.2.3", "10.1.2.0/24"),
        ("fe80::1%eth0", "fe80::/56"),
        ("unknown", "range unknown"),
    ],
)
def test_an_address_has_a_range(address: str, expected: str) -> None:
    assert range_of(address) == expected


async def test_who_knows_the_password_uses_up_nobodys_tries() -> None:
    async with running_rest(clock=FakeClock()) as rest:
        await grace(rest)
        for _ in range(RANGE_TRIES_BURST + 1):
            assert (await by_form(rest, "Grace", PASSWORD)).status_code == 200


# --- over several processes -------------------------------------------------------------------------


class Away(MemoryVolatile):
    async def get(self, key: str) -> tuple[int, bytes] | None:
        raise Unavailable(Code.STORE_UNAVAILABLE, "the store does not answer")


async def guesses(processes: list[Accounts], count: int) -> list[str]:
    """What each of `count` guesses at one account came to, in turn over the processes and many addresses."""
    found: list[str] = []
    for number in range(count):
        try:
            address = f"10.{number}.0.1"
            await processes[number % len(processes)].log_in("grace", "guess", address=address)
        except SegueError as error:
            found.append(error.code.value)
    return found


@pytest.mark.parametrize(
    ("volatile", "allowed"),
    [(MemoryVolatile, ACCOUNT_TRIES_BURST), (Away, 2 * ACCOUNT_TRIES_BURST)],
    ids=["one store", "no store"],
)
async def test_two_processes_count_together_while_they_have_a_store(
    volatile: type[MemoryVolatile], allowed: int
) -> None:
    clock, documents = FakeClock(), MemoryDocuments()
    store = volatile(clock)
    processes = [Accounts(documents, clock, hasher=CheapHasher(), volatile=store) for _ in range(2)]
    await processes[0].add("grace", PASSWORD)
    found = await guesses(processes, 2 * ACCOUNT_TRIES_BURST + 2)
    assert found.count("UNAUTHORIZED") == allowed
    assert set(found[allowed:]) == {"RATE_LIMITED"}


async def test_a_login_gives_back_what_it_took_in_every_process() -> None:
    clock, documents = FakeClock(), MemoryDocuments()
    store = MemoryVolatile(clock)
    here, there = (Accounts(documents, clock, hasher=CheapHasher(), volatile=store) for _ in range(2))
    await here.add("grace", PASSWORD)
    for number in range(3 * ACCOUNT_TRIES_BURST):
        await (here, there)[number % 2].log_in("grace", PASSWORD, address="10.0.0.1")
    assert await guesses([here, there], ACCOUNT_TRIES_BURST) == ["UNAUTHORIZED"] * ACCOUNT_TRIES_BURST
    clock.advance(ACCOUNT_TRIES_BURST * int(ACCOUNT_TRY_EVERY_S * 1000))
    assert await guesses([there], 1) == ["UNAUTHORIZED"]
