"""What is withdrawn holds in every process within a second: tokens, tickets, sockets that are open."""

import pytest

from actors.clock import SystemClock
from connect.close_codes import close_code
from kernel.errors import Code, Rejected, Unavailable
from serve.accounts import Account, Accounts
from serve.identity.shelf import INDEX, SWEPT_AT_ONCE, Shelf
from serve.identity.withdrawals import COLLECTION, REFRESH_S, Withdrawals, withdraw_family
from serve.keys import KeyRing
from serve.settings import Settings
from serve.tokens import Tokens
from storage.memory import MemoryDocuments
from tests.support.clock import FakeClock
from tests.support.hosting import TestDevice, a_host, filled_stores
from tests.unit.test_accounts import CheapHasher

PASSWORD = "correct horse"
SETTINGS = Settings()


class AwayDocuments(MemoryDocuments):
    """A store that can stop answering."""

    away = False

    async def scan(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int
    ) -> list[tuple[str, bytes]]:
        if self.away:
            raise Unavailable(Code.STORE_UNAVAILABLE, "the store is away")
        return await super().scan(collection, prefix=prefix, after=after, limit=limit)


class Process:
    """What one process of a server has of this."""

    def __init__(self, tokens: Tokens, accounts: Accounts, withdrawals: Withdrawals) -> None:
        self.tokens = tokens
        self.accounts = accounts
        self.withdrawals = withdrawals

    async def takes(self, token: str) -> bool:
        try:
            await self.tokens.verify_access(token)
        except Rejected:
            return False
        return True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def documents() -> AwayDocuments:
    return AwayDocuments()


async def a_process(documents: MemoryDocuments, clock: FakeClock) -> Process:
    withdrawals = await Withdrawals.open(documents, clock, SETTINGS)
    ring = await KeyRing.open(documents, clock, SETTINGS)
    return Process(
        Tokens(ring, clock, SETTINGS, withdrawals),
        Accounts(documents, clock, hasher=CheapHasher()),
        withdrawals,
    )


@pytest.fixture
async def here(documents: AwayDocuments, clock: FakeClock) -> Process:
    return await a_process(documents, clock)


@pytest.fixture
async def there(documents: AwayDocuments, clock: FakeClock) -> Process:
    return await a_process(documents, clock)


@pytest.fixture
async def ada(here: Process) -> Account:
    return await here.accounts.add("ada", PASSWORD)


async def fresh(process: Process, name: str = "ada") -> Account:
    account = await process.accounts.named(name)
    assert account is not None
    return account


async def test_another_process_learns_within_a_second(
    here: Process, there: Process, ada: Account, clock: FakeClock
) -> None:
    token = there.tokens.issue_access(ada)
    assert await there.takes(token)
    await here.accounts.end_sessions(ada.user_id)
    clock.advance(int(REFRESH_S * 1000))
    assert not await there.takes(token)
    assert await there.takes(here.tokens.issue_access(await fresh(here)))


async def test_a_process_that_starts_later_knows_it_from_the_first_request(
    here: Process, ada: Account, documents: AwayDocuments, clock: FakeClock
) -> None:
    token = here.tokens.issue_access(ada)
    await here.accounts.end_sessions(ada.user_id)
    assert not await (await a_process(documents, clock)).takes(token)


async def test_disabling_refuses_tokens_that_exist(
    here: Process, there: Process, ada: Account, clock: FakeClock
) -> None:
    token = there.tokens.issue_access(ada)
    await here.accounts.set_disabled("ada", disabled=True)
    clock.advance(int(REFRESH_S * 1000))
    assert not await there.takes(token)
    await here.accounts.set_disabled("ada", disabled=False)
    assert not await there.takes(token), "what was issued before stays refused"


async def test_a_new_password_refuses_tokens_of_the_old_one(
    here: Process, ada: Account, clock: FakeClock
) -> None:
    token = here.tokens.issue_access(ada)
    await here.accounts.set_password("ada", "battery staple")
    clock.advance(int(REFRESH_S * 1000))
    assert not await here.takes(token)


async def test_a_store_that_is_away_leaves_what_is_known_in_use(
    here: Process, ada: Account, documents: AwayDocuments, clock: FakeClock
) -> None:
    old = here.tokens.issue_access(ada)
    await here.accounts.end_sessions(ada.user_id)
    await here.withdrawals.refresh()
    current = here.tokens.issue_access(await fresh(here))
    documents.away = True
    clock.advance(60_000)
    assert not await here.takes(old)
    assert await here.takes(current)


async def test_two_at_once_count_twice(here: Process, there: Process, ada: Account) -> None:
    first = await here.accounts.end_sessions(ada.user_id)
    second = await there.accounts.end_sessions(ada.user_id)
    assert (first, second) == (1, 2)
    assert (await fresh(here)).session_epoch == 2


async def test_what_no_living_token_is_older_than_is_forgotten_and_swept(
    here: Process, ada: Account, documents: AwayDocuments, clock: FakeClock
) -> None:
    for number in range(20):
        await withdraw_family(documents, clock, f"family-{number}")
    await here.withdrawals.refresh()
    assert len(here.withdrawals) == 20
    clock.advance((SETTINGS.token_ttl_s + SETTINGS.ticket_ttl_s) * 1000 + 60_000)
    await here.accounts.end_sessions(ada.user_id)
    await here.withdrawals.refresh()
    assert len(here.withdrawals) == 1
    assert len(await documents.scan(COLLECTION, limit=100)) == 1


async def test_logging_out_closes_the_sockets_of_that_user_and_of_nobody_else() -> None:
    stores, clock = await filled_stores(), SystemClock()
    ring = await KeyRing.open(stores.documents, clock, SETTINGS)
    withdrawals = await Withdrawals.open(stores.documents, clock, SETTINGS)
    tokens = Tokens(ring, clock, SETTINGS, withdrawals)
    accounts = Accounts(stores.documents, clock, hasher=CheapHasher())
    host = await a_host(stores, verify_ticket=tokens.verify_ticket)

    def end_withdrawn() -> None:
        host.end_withdrawn(withdrawals.is_withdrawn)

    withdrawals.on_news(end_withdrawn)

    async def connected(account: Account, device_id: str, client_id: str = "") -> TestDevice:
        access = await tokens.verify_access(tokens.issue_access(account, client_id=client_id))
        device = TestDevice(host, device_id, user=tokens.issue_ticket(access))
        await device.connect()
        return device

    ada, bob = await accounts.add("ada", PASSWORD), await accounts.add("bob", PASSWORD)
    hers, too, his = (
        await connected(ada, "phone-001"),
        await connected(ada, "laptop-001"),
        await connected(bob, "phone-002"),
    )
    late = tokens.issue_ticket(await tokens.verify_access(tokens.issue_access(ada)))
    await accounts.log_out("Ada")
    await withdrawals.refresh()
    for device in (hers, too):
        assert device.wire.closed is not None
        assert device.wire.closed[0] == close_code(Code.UNAUTHORIZED)
    assert his.wire.closed is None
    refused = TestDevice(host, "tablet-001", user=late)
    with pytest.raises(ConnectionError):
        await refused.connect()
    again = await accounts.get(ada.user_id)
    assert again is not None
    assert (await connected(again, "phone-003")).wire.closed is None
    await host.stop()


async def test_documents_that_end_are_swept_a_bounded_number_at_a_time(
    documents: AwayDocuments, clock: FakeClock
) -> None:
    shelf = Shelf(documents, clock)
    now_ms = clock.now_ms()
    for number in range(SWEPT_AT_ONCE + 50):
        await shelf.insert("codes", f"a/{number}", b"x", until_ms=now_ms)
    await shelf.insert("codes", "kept", b"x", until_ms=type(now_ms)(now_ms + 60_000))
    assert not await shelf.insert("codes", "kept", b"y", until_ms=type(now_ms)(now_ms + 60_000))
    assert await shelf.sweep() == SWEPT_AT_ONCE
    assert await shelf.sweep() == 50
    assert await shelf.sweep() == 0
    assert [doc_id for doc_id, _ in await documents.scan("codes", limit=10)] == ["kept"]
    assert len(await documents.scan(INDEX, limit=10)) == 1
