"""Shards go from the dead to the living, and from the living to whom they should belong; listeners follow."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors import orders
from actors.keeper import MOVES_AT_ONCE
from actors.lease import FENCED_AFTER_S, LOST_AFTER_S, OTHERS_WAIT_S
from actors.shards import N_SHARDS, shard_of
from connect.close_codes import parse_close_reason
from connect.frames import GoAway, Media, Ping, Pong, Push, Resume
from kernel.errors import Code, Unavailable
from kernel.ids import HostId, UserId
from kernel.units import Millis
from sessions.commands import AddToQueue, Pause, Play, SeekTo
from storage.memory import MemoryOwnership
from tests.support.hosting import ALBUM_URI, TestDevice, filled_stores, track_uri
from tests.support.several_hosts import Life, Several
from tests.support.waiting import until

DETECT_S = int(OTHERS_WAIT_S) + 2
"""Whole seconds after which a silent host has been replaced."""


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Several]:
    monkeypatch.setattr("actors.journal.TRY_AGAIN_S", 0)
    several = Several(await filled_stores(), expected=2)
    yield several
    await several.stop()


async def two(house: Several) -> tuple[Life, Life]:
    one, other = await house.begin("host-0"), await house.begin("host-1")
    await house.second()
    return one, other


async def playing(life: Life, user_id: UserId, *queued: int) -> TestDevice:
    phone = TestDevice(life.host, "phone-001", user=user_id)
    await phone.connect()
    assert (await phone.command(Play(context_uri=ALBUM_URI))).ok
    for number in queued:
        assert (await phone.command(AddToQueue(uris=(track_uri(number),)))).ok
    return phone


async def queue_of(life: Life, user_id: UserId) -> list[str]:
    player = (await life.host.look(user_id)).player
    return [item.uri for item in player.next_tracks if item.provider == "queue"]


def owned(*lives: Life) -> int:
    shards = [shard for life in lives for shard in life.host.shards]
    assert len(shards) == len(set(shards)), "a shard has two hosts"
    return len(shards)


async def test_hosts_that_start_together_share_everything_and_take_nothing_twice(house: Several) -> None:
    one, other = await two(house)
    assert owned(one, other) == N_SHARDS
    assert set(one.host.shards.values()) | set(other.host.shards.values()) == {1}
    await house.second(3)
    assert set(one.host.shards.values()) | set(other.host.shards.values()) == {1}, "and nothing moves"


async def test_what_a_dead_host_had_is_somebody_elses_with_everything_that_was_acknowledged(
    house: Several,
) -> None:
    one, other = await two(house)
    (user_id,) = await house.users_of(one)
    await playing(one, user_id, 3, 4)
    house.kill(one)
    await house.second(3)
    assert shard_of(user_id) not in other.host.shards, "not before its lease has run out for everybody"
    await house.second(DETECT_S - 3)
    assert len(other.host.shards) == N_SHARDS
    assert await queue_of(other, user_id) == [track_uri(3), track_uri(4)]


async def test_an_end_that_somebody_saw_need_not_be_waited_for() -> None:
    house = Several(await filled_stores())
    ended = asyncio.Event()

    async def wait_for_exit(host_id: HostId, incarnation: int) -> None:
        assert (host_id, incarnation) == ("host-0", 1)
        await ended.wait()

    one, other = await two(house)
    other.keeper._wait_for_exit = wait_for_exit
    await house.second()
    house.kill(one)
    other.keeper.start()
    ended.set()
    await until(lambda: len(other.host.shards) == N_SHARDS)
    await house.stop()


async def test_a_frozen_host_that_wakes_acknowledges_nothing_shows_nothing_and_signs_nothing(
    house: Several,
) -> None:
    one, other = await two(house)
    (user_id,) = await house.users_of(one)
    phone = await playing(one, user_id, 1)
    await phone.wait_for(Media)
    one.frozen = True
    await house.second(DETECT_S)
    assert (await house.owner(user_id)) is other
    heir = TestDevice(other.host, "phone-002", user=user_id)
    await heir.connect()
    assert (await heir.command(AddToQueue(uris=(track_uri(2),)))).ok
    # It wakes. The first thing it finds is what had come in meanwhile.
    phone.forget()
    one.frozen = False
    for command in (Pause(), SeekTo(position_ms=Millis(1)), AddToQueue(uris=(track_uri(5),))):
        reply = await phone.command(command)
        assert reply.error is not None
        assert reply.error.code is Code.STORE_UNAVAILABLE
        assert reply.error.retry_after_ms
    await phone.say(Ping(t0_ms=1.0))
    await phone.wait_for(Pong)
    one.host._listeners[user_id]._leasing.renew()
    one.host._listeners[user_id]._on_time()
    with pytest.raises(Unavailable) as refused:
        await one.host.look(user_id)
    assert refused.value.code is Code.STORE_UNAVAILABLE
    phone.read()
    assert not [frame for frame in phone.frames if isinstance(frame, Push | Media)]
    # One look later it knows, and so does its device.
    await one.keeper.look()
    assert shard_of(user_id) not in one.host.shards
    code, reason = await phone.wait_closed()
    assert parse_close_reason(reason)[0] == Code.NOT_OWNER
    assert code == 4000
    assert await queue_of(other, user_id) == [track_uri(1), track_uri(2)]


async def test_even_a_host_that_does_not_know_its_lease_is_over_writes_nothing_over_its_heirs(
    house: Several,
) -> None:
    """Frozen between the check of its lease and the write: the insert is what stops it."""
    one, other = await two(house)
    (user_id,) = await house.users_of(one)
    phone = await playing(one, user_id, 1)
    one.frozen = True
    await house.second(DETECT_S)
    assert await queue_of(other, user_id) == [track_uri(1)]
    one.lease.renewed(house.clock.tick_s())  # it believes
    await phone.say_raw(b"")
    with pytest.raises(ConnectionError):
        await phone.command(AddToQueue(uris=(track_uri(5),)))
    assert await queue_of(other, user_id) == [track_uri(1)]


async def test_a_store_that_is_away_for_a_while_costs_answers_and_no_owner(house: Several) -> None:
    one, other = await two(house)
    (user_id,) = await house.users_of(one)
    phone = await playing(one, user_id, 1)
    house.clock.advance(10_000)  # nobody could beat or look
    assert not (await phone.command(Pause())).ok
    assert phone.wire.closed is None, "sockets stay"
    await house.second()
    assert (await phone.command(Pause())).ok
    assert set(one.host.shards.values()) | set(other.host.shards.values()) == {1}


async def test_a_host_that_could_not_renew_for_long_lets_everything_go(house: Several) -> None:
    one, _ = await two(house)
    (user_id,) = await house.users_of(one)
    phone = await playing(one, user_id)
    house.clock.advance(int(LOST_AFTER_S * 1000))
    await one.keeper.look()
    await phone.wait_closed()
    assert FENCED_AFTER_S < LOST_AFTER_S


async def test_a_host_that_joins_is_given_its_share_and_listeners_notice_one_reconnect() -> None:
    house = Several(await filled_stores())
    one = await house.begin("host-0")
    await house.second()
    assert len(one.host.shards) == N_SHARDS
    users = [UserId(f"user-{number}") for number in range(MOVES_AT_ONCE * 4)]
    phones = {user_id: await playing(one, user_id, 3) for user_id in users}
    before = {user_id: (await one.host.look(user_id)).seq for user_id in users}
    other = await house.begin("host-1")
    await house.second()
    assert owned(one, other) == N_SHARDS
    assert 0.45 < len(other.host.shards) / N_SHARDS < 0.55
    moved = [user_id for user_id in users if shard_of(user_id) in other.host.shards]
    assert len(moved) > MOVES_AT_ONCE, "so that there was more than one step"
    for user_id in users:
        phone = phones[user_id]
        if user_id not in moved:
            assert phone.wire.closed is None
            continue
        assert (await phone.wait_for(GoAway)).reason == "moved"
        assert parse_close_reason((await phone.wait_closed())[1])[0] == Code.NOT_OWNER
        phone.host = other.host
        welcome = await phone.connect(resume=Resume(owner_epoch=1, seq=before[user_id]))
        snapshot = await phone.snapshot()
        assert (welcome.owner_epoch, snapshot.player.is_playing) == (2, True)
        assert snapshot.player.active_device_id == phone.device_id, "the device did not flap"
        assert await queue_of(other, user_id) == [track_uri(3)]
    await house.stop()


class Dies(Exception):
    """The process ends here."""


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("step", ["release", "claim before", "claim after", "opened"])
@pytest.mark.parametrize("dies", ["source", "both"])
async def test_a_crash_at_any_step_of_a_move_leaves_the_shard_with_somebody_who_lives(
    step: str, dies: str, told: bool
) -> None:
    house = Several(await filled_stores())
    one = await house.begin("host-0")
    await house.second()
    users = [UserId(f"user-{number}") for number in range(8)]
    for user_id in users:
        await playing(one, user_id, 1, 2)
    other, third = await house.begin("host-1"), await house.begin("host-2")
    house.told = told
    await other.beat()
    await third.beat()

    class DyingOwnership(MemoryOwnership):
        async def claim(self, owners):  # type: ignore[no-untyped-def]
            if step == "claim before":
                raise Dies
            await house.stores.ownership.claim(owners)
            raise Dies

    if step == "release":

        async def release(_: object) -> list[object]:
            raise Dies

        one.host.release = release  # type: ignore[method-assign,assignment]
    elif step == "opened":

        async def tell(*_: object) -> None:
            raise Dies

        one.keeper._tell_opened = tell
    else:
        dying = DyingOwnership()
        one.keeper._ownership = dying
        dying.hosts = house.stores.ownership.hosts  # type: ignore[method-assign]
        dying.owners = house.stores.ownership.owners  # type: ignore[method-assign]
    with pytest.raises(Dies):
        await one.keeper.look()
    house.kill(one)
    if dies == "both":
        house.kill(other)
    house.told = True
    await house.second(DETECT_S)
    assert owned(*house.lives.values()) == N_SHARDS
    for user_id in users:
        owner = await house.owner(user_id)
        assert await queue_of(owner, user_id) == [track_uri(1), track_uri(2)]
    await house.stop()


async def test_a_device_that_comes_while_its_shard_leaves_is_sent_on_like_the_others(house: Several) -> None:
    """Seed 1006 of the simulator: it was welcomed by a session that nobody would ever hear again."""
    one, _ = await two(house)
    (user_id,) = await house.users_of(one)
    await playing(one, user_id)
    written, append = asyncio.Event(), house.stores.log.append

    async def late(records):  # type: ignore[no-untyped-def]
        await written.wait()
        return await append(records)

    house.stores.log.append = late  # type: ignore[method-assign]
    tablet = TestDevice(one.host, "tablet-01", user=user_id)
    coming = asyncio.create_task(tablet.connect())
    await until(lambda: hasattr(tablet, "peer") and tablet.peer.listener is not None)
    leaving = asyncio.create_task(one.host.release([shard_of(user_id)]))
    await until(lambda: user_id not in one.host._listeners)
    written.set()
    one.host.send_on(await leaving)
    with pytest.raises(ConnectionError):
        await coming


async def test_while_a_session_is_folded_its_devices_are_told_of_no_place_that_they_did_not_reach(
    house: Several,
) -> None:
    """Seed 107 of the simulator: folding writes a record that nobody is shown."""
    one, _ = await two(house)
    (user_id,) = await house.users_of(one)
    phone = await playing(one, user_id)
    listener = one.host._listeners[user_id]
    phone.forget()
    listener.devices_shown(())
    assert [type(frame) for frame in phone.read()] == [Push]
    listener.drop()
    listener.devices_shown(())
    assert phone.read() == []
    one.host.lose(list(one.host.shards))


async def test_a_claim_whose_outcome_is_unknown_is_looked_up(house: Several) -> None:
    one = await house.begin("host-0")
    await house.second(20)
    (user_id,) = await house.users_of(one)
    phone = await playing(one, user_id, 1)
    await orders.pin(house.stores.documents, shard_of(user_id), HostId("host-1"))
    claims = house.stores.ownership.claim

    async def claim_and_fail(owners):  # type: ignore[no-untyped-def]
        done = await claims(owners)
        if shard_of(user_id) not in [owner.shard for owner in owners]:
            return done
        raise Unavailable(Code.STORE_UNAVAILABLE, "done, and failed on purpose")

    one.keeper._ownership = ownership = MemoryOwnership()
    ownership.__dict__.update(house.stores.ownership.__dict__)
    ownership.claim = claim_and_fail  # type: ignore[method-assign]
    other = await house.begin("host-1")
    with pytest.raises(Unavailable):
        await one.keeper.look()
    assert parse_close_reason((await phone.wait_closed())[1])[0] == Code.NOT_OWNER
    ownership.claim = claims  # type: ignore[method-assign]
    await house.second(2)
    assert owned(one, other) == N_SHARDS
    owner = await house.owner(user_id)
    assert await queue_of(owner, user_id) == [track_uri(1)]


async def test_a_drained_host_ends_up_empty_and_comes_back_when_it_may(house: Several) -> None:
    one, other = await two(house)
    (user_id,) = await house.users_of(one)
    await playing(one, user_id, 4)
    await orders.drain(house.stores.documents, one.record.host_id)
    await house.second()
    assert not one.host.shards
    assert len(other.host.shards) == N_SHARDS
    assert await queue_of(other, user_id) == [track_uri(4)]
    await orders.undrain(house.stores.documents, one.record.host_id)
    await house.second()
    assert owned(one, other) == N_SHARDS
    assert one.host.shards


async def test_nothing_moves_on_purpose_while_a_host_is_suspect(house: Several) -> None:
    one, other = await two(house)
    other.frozen = True
    await house.second(int(FENCED_AFTER_S))
    await orders.drain(house.stores.documents, one.record.host_id)
    await house.second()
    assert one.host.shards, "the one that would get them may be dying"
    other.frozen = False
    await house.second(2)
    assert not one.host.shards


async def test_a_pinned_shard_goes_where_it_is_pinned_and_back(house: Several) -> None:
    one, other = await two(house)
    (user_id,) = await house.users_of(one)
    shard = shard_of(user_id)
    await orders.pin(house.stores.documents, shard, other.record.host_id)
    await house.second()
    assert shard in other.host.shards
    await orders.unpin(house.stores.documents, shard)
    await house.second()
    assert shard in one.host.shards


async def test_a_life_that_is_to_end_ends_when_it_holds_nothing(house: Several) -> None:
    one, other = await two(house)
    host_id = one.record.host_id
    await orders.restart(house.stores.documents, host_id, 1)
    await house.second()
    assert not one.retired, "somebody is here"
    await orders.drain(house.stores.documents, host_id)
    await house.second()
    assert [one.retired, other.retired] == [True, False]
    house.kill(one)
    again = await house.begin("host-0")
    await orders.undrain(house.stores.documents, host_id)
    await house.second()
    assert not again.retired, "the order was for the life before"
    assert owned(again, other) == N_SHARDS


async def test_the_only_host_ends_without_waiting_for_somebody_who_could_take_over() -> None:
    house = Several(await filled_stores())
    one = await house.begin("host-0")
    await house.second()
    await orders.restart(house.stores.documents, one.record.host_id, 1)
    await house.second()
    assert one.retired
    await house.stop()


async def test_a_look_at_a_store_that_is_away_changes_nothing(house: Several) -> None:
    one, _ = await two(house)
    held = dict(one.host.shards)

    class Away(MemoryOwnership):
        async def owners(self):  # type: ignore[no-untyped-def]
            raise Unavailable(Code.STORE_UNAVAILABLE, "gone")

    one.keeper._ownership = Away()
    with pytest.raises(Unavailable):
        await one.keeper.look()
    assert one.host.shards == held
