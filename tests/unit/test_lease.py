"""Who lives, judged by a number that stands still or does not."""

from msgspec.structs import replace

from actors.lease import (
    BLIND_AFTER_S,
    FENCED_AFTER_S,
    LOST_AFTER_S,
    OTHERS_WAIT_S,
    Lease,
    Sightings,
    Standing,
)
from kernel.ids import HostId
from kernel.units import TickS
from storage.ports import HostRecord

HOST = HostRecord(host_id=HostId("host-0"), incarnation=1, heartbeat=7, address="ws://a", version="1")


def seen(record: HostRecord, at_s: float) -> Sightings:
    sightings = Sightings()
    sightings.see([record], TickS(at_s))
    return sightings


def look_on(sightings: Sightings, record: HostRecord, from_s: float, to_s: float) -> None:
    """Once a second."""
    at_s = from_s
    while at_s <= to_s:
        sightings.see([record], TickS(at_s))
        at_s += 1.0


def lives(sightings: Sightings, at_s: float, incarnation: int = 1) -> bool:
    return sightings.is_live(HOST.host_id, incarnation, TickS(at_s))


def test_the_owner_stops_before_others_may_start() -> None:
    lease = Lease(TickS(10.0))
    assert lease.standing(TickS(10.0 + FENCED_AFTER_S - 0.01)) is Standing.HELD
    assert lease.standing(TickS(10.0 + FENCED_AFTER_S)) is Standing.FENCED
    assert lease.standing(TickS(10.0 + LOST_AFTER_S)) is Standing.LOST
    assert FENCED_AFTER_S < OTHERS_WAIT_S < LOST_AFTER_S
    lease.renewed(TickS(12.0))
    lease.renewed(TickS(11.0))  # an answer that was late takes nothing back
    assert lease.standing(TickS(12.0 + FENCED_AFTER_S - 0.01)) is Standing.HELD


def test_a_heartbeat_that_stands_still_is_a_death_and_one_that_moves_is_not() -> None:
    sightings = seen(HOST, 0.0)
    look_on(sightings, HOST, 1.0, 4.0)
    assert lives(sightings, OTHERS_WAIT_S - 0.01)
    assert not lives(sightings, OTHERS_WAIT_S)
    sightings.see([replace(HOST, heartbeat=8)], TickS(5.0))
    assert lives(sightings, 9.0)


def test_whoever_has_just_begun_to_look_waits_like_everybody() -> None:
    assert lives(seen(HOST, 1_000.0), 1_000.0 + OTHERS_WAIT_S - 0.01)
    assert not Sightings().is_live(HOST.host_id, 1, TickS(0.0))


def test_an_observer_that_could_not_look_has_seen_nobody_die() -> None:
    """The store was away for ten seconds: nobody could renew, and nobody is to be taken for dead."""
    sightings = seen(HOST, 0.0)
    sightings.see([HOST], TickS(1.0))
    sightings.see([HOST], TickS(11.0))
    assert lives(sightings, 11.0)
    look_on(sightings, HOST, 12.0, 15.0)
    assert not lives(sightings, 15.0), "it had stood still for a second before, and for four after"
    assert BLIND_AFTER_S < OTHERS_WAIT_S


def test_an_end_that_is_known_counts_at_once_and_for_that_life_alone() -> None:
    sightings = seen(HOST, 0.0)
    sightings.exited(HOST.host_id, 1)
    assert not lives(sightings, 0.1)
    assert sightings.live(TickS(0.1)) == {}
    again = replace(HOST, incarnation=2, heartbeat=0)
    sightings.see([again], TickS(0.2))
    assert lives(sightings, 0.3, incarnation=2)
    assert not lives(sightings, 0.3, incarnation=1), "what the last life owned is nobody's"
    sightings.exited(HOST.host_id, 1)
    assert lives(sightings, 0.4, incarnation=2)


def test_a_host_that_says_it_is_down_is_not_waited_for() -> None:
    assert not lives(seen(replace(HOST, state="down"), 0.0), 0.1)
