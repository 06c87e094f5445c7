"""Accounts: unique names, passwords that cost the same to get wrong in any way, bounded guessing."""

import asyncio
from threading import Event

import pytest
from argon2 import PasswordHasher

from catalog.model import Plan
from kernel.errors import Code, Rejected, Unavailable
from serve.accounts import (
    ACCOUNT_TRIES_BURST,
    ADDRESS_TRIES_BURST,
    HASHES_AT_ONCE,
    HASHES_WAITING_MAX,
    Accounts,
)
from serve.buckets import Buckets
from storage.memory import MemoryDocuments
from tests.support.clock import FakeClock
from tests.support.waiting import until

PASSWORD = "correct horse"
HERE = "127.0.0.1"


class CheapHasher(PasswordHasher):
    """Real argon2, at a price for tests; counts how often it was paid, and waits when told to."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified = 0
        self.gate = Event()
        self.gate.set()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.gate.wait(10)
        self.verified += str(hash).startswith("$argon2id$")  # anything else is refused for free
        return super().verify(hash, password)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def hasher() -> CheapHasher:
    return CheapHasher()


@pytest.fixture
def documents() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def accounts(documents: MemoryDocuments, clock: FakeClock, hasher: CheapHasher) -> Accounts:
    return Accounts(documents, clock, hasher=hasher)


async def test_an_account_is_found_by_name_and_by_id(accounts: Accounts) -> None:
    made = await accounts.add("Ada", PASSWORD, plan="duo", country="nl", explicit_filter=True)
    assert (made.username, made.plan, made.country, made.explicit_filter) == ("Ada", Plan.DUO, "NL", True)
    assert len(made.user_id) == 22
    assert await accounts.get(made.user_id) == made
    assert await accounts.named("ADA") == made
    assert await accounts.named("bob") is None


@pytest.mark.parametrize("other", ["Ada", "ada", "ADA", " ada ", "ａda"])
async def test_a_name_is_taken_however_it_is_written(accounts: Accounts, other: str) -> None:
    await accounts.add("Ada", PASSWORD)
    with pytest.raises(Rejected) as refused:
        await accounts.add(other, PASSWORD)
    assert refused.value.code is Code.BAD_REQUEST
    assert refused.value.details["reason"] == "taken"


async def test_of_several_who_want_one_name_one_gets_it(documents: MemoryDocuments, clock: FakeClock) -> None:
    async def wish(number: int) -> str | None:
        accounts = Accounts(documents, clock, hasher=CheapHasher())
        try:
            await accounts.add("ada", f"password {number}")
        except Rejected:
            return None
        return f"password {number}"

    won = [password for password in await asyncio.gather(*map(wish, range(8))) if password]
    assert len(won) == 1
    accounts = Accounts(documents, clock, hasher=CheapHasher())
    assert await accounts.verify("ada", won[0]) is not None
    assert len(await accounts.page()) == 1


async def test_a_name_claimed_by_one_who_died_is_free(accounts: Accounts, documents: MemoryDocuments) -> None:
    await documents.insert("usernames", "ada", b"u" * 22)
    assert await accounts.named("ada") is None
    made = await accounts.add("ada", PASSWORD)
    assert made.user_id == "u" * 22
    assert await accounts.verify("ada", PASSWORD) == made


@pytest.mark.parametrize(
    ("username", "password", "plan", "country", "word"),
    [
        ("", PASSWORD, "free", "DE", "username"),
        ("   ", PASSWORD, "free", "DE", "username"),
        ("a b", PASSWORD, "free", "DE", "username"),
        ("a/b", PASSWORD, "free", "DE", "username"),
        (".ada", PASSWORD, "free", "DE", "username"),
        ("a\0", PASSWORD, "free", "DE", "username"),
        ("a" * 65, PASSWORD, "free", "DE", "username"),
        ("ada", "short", "free", "DE", "password"),
        ("ada", "x" * 1025, "free", "DE", "password"),
        ("ada", PASSWORD, "gold", "DE", "plan"),
        ("ada", PASSWORD, "free", "XX", "country"),
        ("ada", PASSWORD, "free", "Germany", "country"),
        ("ada", PASSWORD, "free", "", "country"),
    ],
)
async def test_a_bad_field_is_named(
    accounts: Accounts, username: str, password: str, plan: str, country: str, word: str
) -> None:
    with pytest.raises(Rejected) as refused:
        await accounts.add(username, password, plan=plan, country=country)
    assert refused.value.code is Code.BAD_REQUEST
    assert refused.value.message.startswith(word)
    assert password not in refused.value.message
    assert await accounts.page() == []


@pytest.mark.parametrize("name", ["Łukasz", "李雷", "müller", "o.brien-2", "ada@example.org"])
async def test_names_of_every_script_log_in(accounts: Accounts, name: str) -> None:
    made = await accounts.add(name, PASSWORD)
    assert await accounts.verify(name.upper(), PASSWORD) == made


async def test_the_wrong_password_an_unknown_name_and_a_disabled_account_cost_and_say_the_same(
    accounts: Accounts, hasher: CheapHasher
) -> None:
    await accounts.add("ada", PASSWORD)
    await accounts.add("off", PASSWORD)
    await accounts.set_disabled("off", disabled=True)
    said = set()
    for username, password in [
        ("ada", "wrong"),
        ("bob", PASSWORD),
        ("off", PASSWORD),
        ("ada", "x" * 100_000),
        ("b/ob", ""),
    ]:
        before = hasher.verified
        with pytest.raises(Rejected) as refused:
            await accounts.log_in(username, password, address=HERE)
        assert hasher.verified == before + 1
        said.add((refused.value.code, refused.value.message))
    assert len(said) == 1
    assert next(iter(said))[0] is Code.UNAUTHORIZED


async def test_a_new_password_replaces_the_old_one(accounts: Accounts) -> None:
    await accounts.add("ada", PASSWORD)
    await accounts.set_password("Ada", "another horse")
    assert await accounts.verify("ada", PASSWORD) is None
    assert await accounts.verify("ada", "another horse") is not None
    with pytest.raises(Rejected) as refused:
        await accounts.set_password("bob", PASSWORD)
    assert refused.value.code is Code.NOT_FOUND


async def test_disabling_lasts_until_it_is_undone_and_survives_a_new_password(accounts: Accounts) -> None:
    made = await accounts.add("ada", PASSWORD)
    await accounts.set_disabled("ada", disabled=True)
    await accounts.set_password("ada", "another horse")
    assert await accounts.verify("ada", "another horse") is None
    found = await accounts.get(made.user_id)
    assert found is not None
    assert found.disabled
    await accounts.set_disabled("ada", disabled=False)
    assert await accounts.verify("ada", "another horse") is not None


async def test_accounts_are_listed_in_pages(accounts: Accounts) -> None:
    made = {(await accounts.add(f"user{number}", PASSWORD)).user_id for number in range(5)}
    first = await accounts.page(limit=3)
    rest = await accounts.page(after=first[-1].user_id, limit=3)
    assert (len(first), len(rest)) == (3, 2)
    assert {account.user_id for account in first + rest} == made


async def test_no_password_is_stored_or_shown(accounts: Accounts, documents: MemoryDocuments) -> None:
    made = await accounts.add("ada", PASSWORD)
    [(_, stored)] = await documents.scan("accounts", limit=10)
    assert PASSWORD.encode() not in stored
    assert b"$argon2id$" in stored
    assert "argon2" not in repr(made)


async def test_guesses_at_one_account_are_limited_and_the_wait_is_true(
    accounts: Accounts, clock: FakeClock
) -> None:
    await accounts.add("ada", PASSWORD)
    for _ in range(ACCOUNT_TRIES_BURST):
        with pytest.raises(Rejected):
            await accounts.log_in("ada", "wrong", address=HERE)
    with pytest.raises(Unavailable) as refused:
        await accounts.log_in("Ada", PASSWORD, address="10.0.0.9")
    assert refused.value.code is Code.RATE_LIMITED
    assert refused.value.retry_after_ms
    clock.advance(refused.value.retry_after_ms)
    assert (await accounts.log_in("ada", PASSWORD, address=HERE)).username == "ada"


async def test_guesses_from_one_address_are_limited_and_others_notice_nothing(
    accounts: Accounts, hasher: CheapHasher
) -> None:
    await accounts.add("ada", PASSWORD)
    for number in range(ADDRESS_TRIES_BURST):
        with pytest.raises(Rejected):
            await accounts.log_in(f"user{number}", PASSWORD, address=HERE)
    paid = hasher.verified
    with pytest.raises(Unavailable) as refused:
        await accounts.log_in("ada", PASSWORD, address=HERE)
    assert refused.value.code is Code.RATE_LIMITED
    assert hasher.verified == paid
    await accounts.log_in("ada", PASSWORD, address="10.0.0.9")


async def test_logging_in_rightly_is_not_limited(accounts: Accounts) -> None:
    await accounts.add("ada", PASSWORD)
    for _ in range(ADDRESS_TRIES_BURST + 5):
        await accounts.log_in("ada", PASSWORD, address=HERE)


async def test_more_who_wait_to_be_checked_than_may_are_told_when_to_come_back(
    accounts: Accounts, hasher: CheapHasher
) -> None:
    await accounts.add("ada", PASSWORD)
    await accounts.verify("ada", PASSWORD)
    hasher.gate.clear()
    tries = [
        asyncio.create_task(accounts.verify("ada" if number % 2 else "bob", PASSWORD))
        for number in range(HASHES_AT_ONCE + HASHES_WAITING_MAX)
    ]
    await until(lambda: accounts._hashes_waiting == HASHES_WAITING_MAX)
    with pytest.raises(Unavailable) as refused:
        await accounts.verify("ada", PASSWORD)
    assert refused.value.code is Code.BUSY
    assert refused.value.retry_after_ms
    hasher.gate.set()
    found = await asyncio.gather(*tries)
    assert [account is not None for account in found] == [bool(number % 2) for number in range(len(tries))]


def test_buckets_refill_evenly_and_hold_no_more_than_their_bound() -> None:
    clock = FakeClock()
    buckets = Buckets(clock, burst=2, refill_s=10.0, names_max=3)
    assert [buckets.take("a") for _ in range(2)] == [None, None]
    wait_ms = buckets.take("a")
    assert wait_ms is not None
    assert 10_000 <= wait_ms <= 10_001
    clock.advance(5_000)
    assert buckets.take("a") is not None
    clock.advance(5_001)
    assert buckets.take("a") is None
    for name in "bcde":
        buckets.take(name)
    assert len(buckets) == 3
    clock.advance(60_000)
    buckets.give_back("c")
    assert len(buckets) == 2, "a full bucket takes no room"
