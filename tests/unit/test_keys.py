"""The shared signing keys: one newest, agreed by all, its predecessors accepted exactly as long as needed."""

import asyncio
from collections.abc import Sequence

import pytest

from kernel.errors import Code, Unavailable
from serve.keys import REFRESH_S, UNKNOWN_KEY_REFRESH_S, KeyRing, Purpose
from serve.settings import Settings
from storage.memory import MemoryDocuments
from tests.support.clock import FakeClock

SETTINGS = Settings(token_ttl_s=3600, ticket_ttl_s=60, lease_s=120)


class CountedDocuments(MemoryDocuments):
    """Counts what is read, gives way to others before each insert, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.scans = 0
        self.down = False

    async def scan(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int
    ) -> list[tuple[str, bytes]]:
        if self.down:
            raise Unavailable(Code.STORE_UNAVAILABLE, "down")
        self.scans += 1
        return await super().scan(collection, prefix=prefix, after=after, limit=limit)

    async def insert(self, collection: str, doc_id: str, value: bytes) -> bool:
        await asyncio.sleep(0)
        return await super().insert(collection, doc_id, value)

    def ids(self) -> Sequence[str]:
        return sorted(self._values["keys"])


async def test_processes_that_start_together_agree_on_the_first_keys() -> None:
    documents, clock = CountedDocuments(), FakeClock()
    rings = await asyncio.gather(*(KeyRing.open(documents, clock, SETTINGS) for _ in range(5)))
    for purpose in Purpose:
        assert len({ring.of(purpose).signing_key() for ring in rings}) == 1
    assert documents.ids() == ["access/00000001", "lease/00000001", "ticket/00000001"]


async def test_each_purpose_and_each_server_has_a_secret_of_its_own() -> None:
    clock = FakeClock()
    rings = [await KeyRing.open(MemoryDocuments(), clock, SETTINGS) for _ in range(2)]
    secrets = {ring.of(purpose).signing_key()[1] for ring in rings for purpose in Purpose}
    assert len(secrets) == 6
    assert {len(secret) for secret in secrets} == {32}


async def test_a_rotation_signs_at_once_and_the_old_key_is_accepted_for_what_it_signed() -> None:
    clock = FakeClock()
    ring = await KeyRing.open(MemoryDocuments(), clock, SETTINGS)
    old_kid, old_secret = ring.of(Purpose.LEASE).signing_key()
    clock.advance(1_000)
    await ring.rotate(Purpose.LEASE)
    kid, _ = ring.of(Purpose.LEASE).signing_key()
    assert (old_kid, kid) == ("lease-1", "lease-2")
    assert ring.of(Purpose.ACCESS).signing_key()[0] == "access-1"

    grace_ms = 120_000 + int(2 * REFRESH_S * 1000)
    clock.advance(grace_ms - 1)
    assert ring.of(Purpose.LEASE).secret(old_kid) == old_secret
    clock.advance(1)
    assert ring.of(Purpose.LEASE).secret(old_kid) is None
    assert ring.of(Purpose.LEASE).secret(kid) is not None


async def test_a_rotation_removes_keys_that_are_no_longer_accepted() -> None:
    documents, clock = CountedDocuments(), FakeClock()
    ring = await KeyRing.open(documents, clock, SETTINGS)
    await ring.rotate(Purpose.LEASE)
    assert "lease/00000001" in documents.ids()
    clock.advance(10 * 60_000)
    await ring.rotate(Purpose.LEASE)
    assert [doc_id for doc_id in documents.ids() if doc_id.startswith("lease/")] == [
        "lease/00000002",
        "lease/00000003",
    ]


async def test_two_rotations_at_once_make_one_key() -> None:
    documents, clock = CountedDocuments(), FakeClock()
    rings = [await KeyRing.open(documents, clock, SETTINGS) for _ in range(2)]
    made = await asyncio.gather(*(ring.rotate(Purpose.ACCESS) for ring in rings))
    assert made[0] == made[1]
    assert made[0].kid == "access-2"


async def test_a_leaked_key_can_be_refused_at_once() -> None:
    documents, clock = CountedDocuments(), FakeClock()
    ring, other = [await KeyRing.open(documents, clock, SETTINGS) for _ in range(2)]
    await ring.rotate(Purpose.LEASE, revoke_older=True)
    assert ring.of(Purpose.LEASE).secret("lease-1") is None
    clock.advance(int(REFRESH_S * 1000))
    await other.refresh_if_due()
    assert other.of(Purpose.LEASE).secret("lease-1") is None


async def test_a_key_made_elsewhere_is_learnt_when_a_token_names_it() -> None:
    documents, clock = CountedDocuments(), FakeClock()
    ring, other = [await KeyRing.open(documents, clock, SETTINGS) for _ in range(2)]
    clock.advance(5_000)
    await ring.rotate(Purpose.ACCESS)
    assert other.of(Purpose.ACCESS).secret("access-2") is None
    assert await other.learn(Purpose.ACCESS, "access-2")
    assert other.of(Purpose.ACCESS).signing_key() == ring.of(Purpose.ACCESS).signing_key()


async def test_invented_keys_ask_the_store_at_most_once_a_second() -> None:
    documents, clock = CountedDocuments(), FakeClock()
    ring = await KeyRing.open(documents, clock, SETTINGS)
    clock.advance(int(UNKNOWN_KEY_REFRESH_S * 1000))
    before = documents.scans
    for number in range(2, 500):
        assert not await ring.learn(Purpose.ACCESS, f"access-{number}")
    await asyncio.gather(*(ring.learn(Purpose.ACCESS, f"access-{number}") for number in range(500, 600)))
    assert documents.scans == before + len(Purpose)


@pytest.mark.parametrize(
    "kid",
    ["", "access", "access-", "access-x", "access--1", "access-²", "lease-2", "access-123456789", "-2", "\0"],
)
async def test_a_name_that_no_key_can_have_asks_nobody(kid: str) -> None:
    documents, clock = CountedDocuments(), FakeClock()
    ring = await KeyRing.open(documents, clock, SETTINGS)
    clock.advance(60_000)
    before = documents.scans
    assert not await ring.learn(Purpose.ACCESS, kid)
    assert documents.scans == before


async def test_a_store_that_is_down_leaves_the_keys_in_use() -> None:
    documents, clock = CountedDocuments(), FakeClock()
    ring = await KeyRing.open(documents, clock, SETTINGS)
    signing = ring.of(Purpose.LEASE).signing_key()
    documents.down = True
    clock.advance(10 * 60_000)
    await ring.refresh_if_due()
    assert not await ring.learn(Purpose.LEASE, "lease-2")
    assert ring.of(Purpose.LEASE).signing_key() == signing
    assert ring.of(Purpose.LEASE).secret(signing[0]) == signing[1]
    with pytest.raises(Unavailable):
        await KeyRing.open(documents, clock, SETTINGS)


async def test_a_key_does_not_show_its_secret() -> None:
    ring = await KeyRing.open(MemoryDocuments(), FakeClock(), SETTINGS)
    assert repr(ring.of(Purpose.ACCESS).newest) == "Key('access-1')"


async def test_the_background_refresh_ends_when_told() -> None:
    ring = await KeyRing.open(MemoryDocuments(), FakeClock(), SETTINGS)
    ring.start()
    await ring.stop()
    await ring.stop()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "keys"] == []
