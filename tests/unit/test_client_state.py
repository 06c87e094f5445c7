"""What a client makes of snapshots and pushes, and how long it waits before it connects again."""

from random import Random

import pytest

from client.backoff import LONGEST_S, STABLE_S, Backoff
from client.state import Applied, Mirror, merge, position_ms
from connect.frames import Capabilities, Connection, Device, DeviceType, Push, Resume, Snapshot
from kernel.ids import DeviceId
from kernel.units import Millis, TickS
from sessions.view import PlayerDelta
from tests.support.devices import SERVER_NOW, player_state


def snapshot(*, seq: int = 5, owner_epoch: int = 1) -> Snapshot:
    return Snapshot(
        owner_epoch=owner_epoch, seq=seq, player=player_state(), devices=(), handoff=None, reason="hello"
    )


def seek_to(position: int) -> PlayerDelta:
    return PlayerDelta(position_as_of_timestamp=Millis(position))


@pytest.fixture
def mirror() -> Mirror:
    mirror = Mirror()
    mirror.take(snapshot())
    return mirror


def seen_position(mirror: Mirror) -> int:
    assert mirror.player is not None
    return mirror.player.position_as_of_timestamp


def test_a_delta_changes_what_it_carries_and_nothing_else() -> None:
    before = player_state()
    after = merge(before, PlayerDelta(is_playing=False, active_device_id=None))
    assert (after.is_playing, after.active_device_id) == (False, None)
    assert after.track == before.track


def test_a_delta_names_exactly_the_fields_of_the_state() -> None:
    assert PlayerDelta.__struct_fields__ == player_state().__struct_fields__


@pytest.mark.parametrize(
    ("elapsed_ms", "expected"), [(-50, 1_000.0), (0, 1_000.0), (250, 1_250.0), (999_999, 60_000.0)]
)
def test_the_position_moves_with_time_and_stays_within_the_track(elapsed_ms: int, expected: float) -> None:
    assert position_ms(player_state(position_ms=1_000), now_ms=SERVER_NOW + elapsed_ms) == expected


def test_the_position_holds_still_while_paused() -> None:
    assert position_ms(player_state(paused=True, position_ms=1_000), now_ms=SERVER_NOW + 9_000) == 1_000.0


def test_durable_pushes_are_taken_one_after_the_other(mirror: Mirror) -> None:
    assert mirror.take(Push(owner_epoch=1, seq=6, player=seek_to(10), durable=True)) is Applied.TAKEN
    assert mirror.take(Push(owner_epoch=1, seq=6, player=seek_to(20))) is Applied.TAKEN
    assert (seen_position(mirror), mirror.seq) == (20, 6)
    assert mirror.resume == Resume(owner_epoch=1, seq=6)


def test_a_missing_durable_push_is_noticed_and_changes_nothing(mirror: Mirror) -> None:
    assert mirror.take(Push(owner_epoch=1, seq=7, player=seek_to(10), durable=True)) is Applied.HOLE
    assert mirror.take(Push(owner_epoch=1, seq=6, player=seek_to(10))) is Applied.HOLE
    assert (seen_position(mirror), mirror.seq) == (0, 5)


def test_what_was_seen_before_or_comes_from_an_older_owner_is_dropped(mirror: Mirror) -> None:
    mirror.take(snapshot(seq=8, owner_epoch=2))
    assert mirror.take(Push(owner_epoch=2, seq=8, player=seek_to(10), durable=True)) is Applied.STALE
    assert mirror.take(Push(owner_epoch=2, seq=7, player=seek_to(10))) is Applied.STALE
    assert mirror.take(Push(owner_epoch=1, seq=9, player=seek_to(10), durable=True)) is Applied.STALE
    assert mirror.take(snapshot(seq=9, owner_epoch=1)) is Applied.STALE
    assert seen_position(mirror) == 0


def test_there_is_nothing_to_resume_before_the_first_snapshot() -> None:
    mirror = Mirror()
    assert mirror.resume is None
    assert mirror.take(Push(owner_epoch=1, seq=1, durable=True)) is Applied.HOLE


def test_a_device_is_found_by_id_or_by_its_name_when_that_is_unique(mirror: Mirror) -> None:
    def device(identity: str, name: str) -> Device:
        return Device(
            device_id=DeviceId(identity),
            name=name,
            type=DeviceType.SPEAKER,
            capabilities=Capabilities(),
            volume_percent=50,
            muted=False,
            is_active=False,
            connection=Connection.ONLINE,
            last_seen_at_ms=Millis(0),
        )

    kitchen, one, two = device("device-1", "Kitchen"), device("device-2", "Den"), device("device-3", "den")
    mirror.devices = (kitchen, one, two)
    assert mirror.device("kitchen") is kitchen
    assert mirror.device("device-3") is two
    assert mirror.device("Den") is None
    assert mirror.device("Attic") is None


# --- backoff -----------------------------------------------------------------------------------------


def longest_of(failures: int) -> float:
    backoff = Backoff(Random(7))
    for _ in range(failures):
        backoff.closed(TickS(0.0))
    return max(backoff.delay_s() for _ in range(200))


def test_the_wait_grows_with_each_failure_up_to_half_a_minute() -> None:
    tops = [longest_of(failures) for failures in (1, 2, 3, 4, 20, 10_000)]
    assert tops[0] <= 1.0 < tops[1] <= 2.0 < tops[2] <= 4.0 < tops[3] <= 8.0
    assert LONGEST_S * 0.9 < tops[4] <= LONGEST_S
    assert tops[5] <= LONGEST_S


def test_jitter_is_full_so_that_a_crowd_does_not_return_together() -> None:
    backoff = Backoff(Random(7))
    for _ in range(10):
        backoff.closed(TickS(0.0))
    waits = [backoff.delay_s() for _ in range(500)]
    assert min(waits) < 1.0
    assert max(waits) > 29.0


def test_a_connection_that_lived_a_minute_starts_the_count_anew() -> None:
    def top_after(lived_s: float) -> float:
        backoff = Backoff(Random(7))
        for _ in range(10):
            backoff.closed(TickS(0.0))
        backoff.opened(TickS(100.0))
        backoff.closed(TickS(100.0 + lived_s))
        return max(backoff.delay_s() for _ in range(200))

    assert top_after(STABLE_S) <= 1.0
    assert top_after(STABLE_S - 1) > 20.0


def test_a_time_that_the_server_named_is_kept_once() -> None:
    backoff = Backoff(Random(7))
    backoff.closed(TickS(0.0))
    backoff.asked(reconnect_after_ms=Millis(5_000), jitter_ms=Millis(2_000))
    assert 5.0 <= backoff.delay_s() <= 7.0
    assert backoff.delay_s() <= 1.0


def test_no_server_can_send_a_client_away_for_longer_than_half_a_minute() -> None:
    backoff = Backoff(Random(7))
    backoff.asked(reconnect_after_ms=Millis(10**9), jitter_ms=Millis(0))
    assert backoff.delay_s() == LONGEST_S
