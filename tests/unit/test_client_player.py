"""The player of a device: what it does with states, leases, switches and what its output tells it."""

from collections.abc import Sequence
from typing import TypeVar

import pytest

from client.output import BecameReady, Ended, Failed, RanDry, Sounded, WentOn
from client.player import RETRIES_MAX, Player
from client.state import Mirror
from connect.frames import (
    Abort,
    AdvancedFrame,
    ClientFrame,
    Handoff,
    Media,
    Phase,
    Prepare,
    Ready,
    Refuse,
    Renew,
    Report,
    ReportState,
    SetVolumeFrame,
    Snapshot,
    Switch,
    Switched,
)
from kernel.errors import Code
from kernel.ids import DeviceId, HandoffId, PlayId
from kernel.units import Millis
from sessions.view import PlayerState
from tests.support.clock import FakeClock
from tests.support.devices import SERVER_NOW, Call, HeldOutput, lease, player_state

ME = DeviceId("kitchen-1")
OTHER = "phone-0001"
HANDOFF = HandoffId("handoff-1")

Kind = TypeVar("Kind")


class Bench:
    """A player with its parts in reach."""

    def __init__(self, *, start_delay_ms: int = 0) -> None:
        self.clock = FakeClock(SERVER_NOW)
        self.output = HeldOutput(start_delay_ms=start_delay_ms)
        self.mirror = Mirror()
        self.sent: list[ClientFrame] = []
        self.seq = 0
        self.player = Player(
            ME, self.output, mirror=self.mirror, now_ms=self.clock.now_ms, send=self.sent.append
        )

    def state(self, player: PlayerState, handoff: Handoff | None = None) -> None:
        self.seq += 1
        frame = Snapshot(
            owner_epoch=1, seq=self.seq, player=player, devices=(), handoff=handoff, reason="hello"
        )
        self.mirror.take(frame)
        self.player.on_frame(frame)

    def media(self, *numbers: int, epoch: int = 1, expires_at_ms: int = SERVER_NOW + 120_000) -> None:
        leases = tuple(lease(number, expires_at_ms=expires_at_ms) for number in numbers)
        self.player.on_frame(Media(device_epoch=epoch, leases=leases))

    def prepare(self, *, will_play: bool = True) -> None:
        self.player.on_frame(
            Prepare(
                handoff_id=HANDOFF,
                device_epoch=2,
                player=player_state(
                    active=OTHER, position_ms=10_000, playing=will_play, paused=not will_play
                ),
                lease=lease(1),
                deadline_at_ms=Millis(SERVER_NOW + 5_000),
                will_play=will_play,
            )
        )

    def switch(self, role: str, *, in_ms: int = 200, position_ms: int = 10_700, playing: bool = True) -> None:
        self.player.on_frame(
            Switch(
                handoff_id=HANDOFF,
                device_epoch=2,
                role=role,
                start_at_ms=Millis(self.clock.now_ms() + in_ms),
                position_ms=Millis(position_ms),
                playing=playing,
            )
        )

    def pass_time(self, ms: int) -> None:
        self.clock.advance(ms)
        self.player.tick()

    def playing_track_1(self) -> None:
        self.media(1, 2, 3)
        self.state(player_state())
        self.output.say(Sounded(play_id=PlayId("play-1"), position_ms=0.0))
        self.sent.clear()
        self.output.calls.clear()

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [frame for frame in self.sent if isinstance(frame, kind)]

    def only(self, kind: type[Kind]) -> Kind:
        (frame,) = self.of(kind)
        return frame


@pytest.fixture
def bench() -> Bench:
    return Bench()


def plays(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if call.verb == "play"]


# --- obeying -----------------------------------------------------------------------------------------


def test_a_new_play_starts_where_the_music_is_by_now(bench: Bench) -> None:
    bench.media(1, 2)
    bench.clock.advance(1_500)
    bench.state(player_state(position_ms=2_000))
    assert plays(bench.output.calls) == [Call("play", "play-1", 3_500.0)]
    assert bench.output.next == PlayId("play-2")


def test_a_state_before_its_lease_waits_for_the_lease(bench: Bench) -> None:
    bench.state(player_state())
    assert plays(bench.output.calls) == []
    bench.clock.advance(400)
    bench.media(1)
    assert plays(bench.output.calls) == [Call("play", "play-1", 400.0)]


def test_missing_leases_are_asked_for(bench: Bench) -> None:
    bench.state(player_state())
    wake_at_ms = bench.player.wake_at_ms()
    assert wake_at_ms is not None
    bench.pass_time(int(wake_at_ms - bench.clock.now_ms()))
    assert bench.of(Renew) == [Renew()]


def test_the_same_version_does_not_touch_what_sounds(bench: Bench) -> None:
    bench.playing_track_1()
    bench.state(player_state(position_ms=7_000, number=3, version=1))
    assert bench.output.calls == []


def test_a_grown_version_is_obeyed(bench: Bench) -> None:
    bench.playing_track_1()
    bench.state(player_state(position_ms=30_000, version=2))
    assert plays(bench.output.calls) == [Call("play", "play-1", 30_000.0)]
    bench.state(player_state(paused=True, position_ms=31_000, version=3))
    assert bench.output.sounds() is None
    report = bench.only(Report)
    assert (report.state, report.position_ms, report.playhead_version) == (ReportState.PAUSED, 31_000, 3)


def test_stopped_is_silence_and_nothing_in_hand(bench: Bench) -> None:
    bench.playing_track_1()
    bench.state(player_state(playing=False, version=2))
    assert bench.output.sounds() is None
    assert bench.player.play_id is None


def test_losing_the_active_role_without_a_switch_is_silence_at_once(bench: Bench) -> None:
    bench.playing_track_1()
    bench.state(player_state(active=OTHER, version=2, epoch=2))
    assert bench.output.sounds() is None
    assert bench.output.loaded == {}
    assert bench.sent == []


def test_a_device_that_is_not_active_reports_nothing(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.output.say(Sounded(play_id=PlayId("play-1"), position_ms=0.0))
    bench.pass_time(60_000)
    assert bench.sent == []


def test_leases_of_an_older_epoch_are_dropped(bench: Bench) -> None:
    bench.state(player_state(epoch=5))
    bench.media(1, epoch=4)
    assert plays(bench.output.calls) == []


def test_somebody_elses_volume_is_set_and_not_echoed(bench: Bench) -> None:
    bench.player.on_frame(SetVolumeFrame(volume_percent=17))
    assert bench.output.volume_percent == 17
    assert bench.sent == []


# --- reports -----------------------------------------------------------------------------------------


def test_playing_is_reported_at_the_start_and_every_ten_seconds(bench: Bench) -> None:
    bench.media(1)
    bench.state(player_state(version=4))
    bench.output.say(Sounded(play_id=PlayId("play-1"), position_ms=0.0))
    first = bench.only(Report)
    assert (first.state, first.play_id, first.playhead_version) == (ReportState.PLAYING, "play-1", 4)
    bench.sent.clear()
    bench.pass_time(9_999)
    assert bench.of(Report) == []
    bench.output.at_ms = 10_000.0
    bench.pass_time(1)
    again = bench.only(Report)
    assert (again.position_ms, again.measured_at_ms) == (10_000, SERVER_NOW + 10_000)


def test_running_dry_is_reported_as_buffering(bench: Bench) -> None:
    bench.playing_track_1()
    bench.output.say(RanDry(play_id=PlayId("play-1"), position_ms=4_000.0))
    assert bench.only(Report).state is ReportState.BUFFERING


def test_what_was_reported_while_offline_is_said_again_after_a_reconnect(bench: Bench) -> None:
    bench.playing_track_1()
    bench.player.on_reconnect()
    bench.player.tick()
    assert bench.only(Report).state is ReportState.PLAYING


def test_going_on_to_the_next_item_is_told_and_the_one_after_it_is_loaded(bench: Bench) -> None:
    bench.playing_track_1()
    bench.output.audible = PlayId("play-2")
    bench.output.say(WentOn(from_play_id=PlayId("play-1"), to_play_id=PlayId("play-2"), position_ms=3.4))
    told = bench.only(AdvancedFrame)
    assert (told.from_uid, told.to_uid, told.play_id, told.position_ms) == ("uid-1", "uid-2", "play-2", 3)
    assert bench.output.next == PlayId("play-3")
    bench.state(player_state(number=2, version=1))
    assert plays(bench.output.calls) == []


def test_the_end_with_nothing_to_follow_is_reported(bench: Bench) -> None:
    bench.playing_track_1()
    bench.output.say(Ended(play_id=PlayId("play-1")))
    report = bench.only(Report)
    assert (report.state, report.error) == (ReportState.ENDED, None)


def test_an_item_that_cannot_be_decoded_is_reported_with_the_reason_and_never_as_heard(bench: Bench) -> None:
    bench.playing_track_1()
    bench.output.say(Failed(play_id=PlayId("play-1"), code=Code.NOT_PLAYABLE, message="no such codec"))
    report = bench.only(Report)
    assert (report.state, report.error) == (ReportState.ENDED, "no such codec")


# --- leases ------------------------------------------------------------------------------------------


def test_a_refused_lease_is_renewed_and_the_play_goes_on_where_it_should_be(bench: Bench) -> None:
    bench.playing_track_1()
    bench.clock.advance(5_000)
    bench.output.say(Failed(play_id=PlayId("play-1"), code=Code.LEASE_EXPIRED, message="expired"))
    assert bench.sent == [Renew()]
    bench.media(1, 2)
    assert plays(bench.output.calls) == [Call("play", "play-1", 5_000.0)]


def test_a_lease_that_is_refused_again_and_again_is_given_up(bench: Bench) -> None:
    bench.playing_track_1()
    refused = Failed(play_id=PlayId("play-1"), code=Code.LEASE_REVOKED, message="revoked")
    for _ in range(RETRIES_MAX):
        bench.output.say(refused)
        bench.media(1, 2)
    assert bench.of(Report) == []
    bench.output.say(refused)
    assert bench.only(Report).error == "revoked"


def test_leases_are_asked_for_before_they_run_out(bench: Bench) -> None:
    bench.playing_track_1()
    bench.pass_time(99_000)
    assert bench.of(Renew) == []
    bench.pass_time(1_000)
    assert bench.of(Renew) == [Renew()]


# --- handoff -----------------------------------------------------------------------------------------


def test_a_target_loads_silently_ahead_of_the_music_and_says_ready_when_it_is() -> None:
    bench = Bench(start_delay_ms=120)
    bench.state(player_state(active=OTHER, position_ms=10_000))
    bench.prepare()
    assert bench.output.calls == [Call("load", "play-1", 10_500.0)]
    assert bench.sent == []
    bench.output.say(BecameReady(play_id=PlayId("play-1")))
    bench.output.say(BecameReady(play_id=PlayId("play-1")))
    ready = bench.only(Ready)
    assert (ready.handoff_id, ready.buffered_ms, ready.start_delay_ms) == (HANDOFF, 5_000, 120)


def test_a_target_sounds_at_the_instant_and_not_when_the_state_arrives(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.output.say(BecameReady(play_id=PlayId("play-1")))
    bench.switch("target", in_ms=200, position_ms=10_700)
    bench.state(player_state(version=2, epoch=2, position_ms=10_500))
    bench.pass_time(199)
    assert plays(bench.output.calls) == []
    bench.pass_time(1)
    assert plays(bench.output.calls) == [Call("play", "play-1", 10_700.0)]
    switched = bench.only(Switched)
    assert (switched.at_ms, switched.position_ms) == (SERVER_NOW + 200, 10_700.0)
    bench.state(player_state(version=2, epoch=2, position_ms=10_500))
    assert len(plays(bench.output.calls)) == 1


@pytest.mark.parametrize("state_first", [True, False])
def test_a_target_starts_once_whichever_of_switch_and_state_is_first(
    bench: Bench, *, state_first: bool
) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    if state_first:
        bench.state(player_state(version=2, epoch=2))
    bench.switch("target")
    bench.pass_time(200)
    if not state_first:
        bench.state(player_state(active=OTHER, version=1, epoch=1))
        assert bench.output.sounds() == PlayId("play-1")
        bench.state(player_state(version=2, epoch=2))
    assert len(plays(bench.output.calls)) == 1
    bench.state(player_state(version=3, epoch=2, position_ms=40_000))
    assert plays(bench.output.calls)[-1].position_ms == pytest.approx(40_200)


def test_a_pause_between_commit_and_switch_wins(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.state(player_state(version=2, epoch=2))
    bench.switch("target")
    bench.state(player_state(version=3, epoch=2, paused=True))
    bench.pass_time(200)
    assert bench.output.sounds() is None


def test_a_late_loop_joins_the_music_where_it_is(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.switch("target", in_ms=200, position_ms=10_700)
    bench.pass_time(250)
    assert plays(bench.output.calls) == [Call("play", "play-1", 10_750.0)]
    assert bench.only(Switched).at_ms == SERVER_NOW + 250


def test_an_output_with_a_delay_is_told_so_much_earlier() -> None:
    bench = Bench(start_delay_ms=120)
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.switch("target", in_ms=200, position_ms=10_700)
    assert bench.player.wake_at_ms() == SERVER_NOW + 80
    bench.pass_time(80)
    switched = bench.only(Switched)
    assert (switched.at_ms, switched.position_ms) == (SERVER_NOW + 200, 10_700.0)


def test_a_source_goes_on_until_the_instant_and_says_when_it_fell_silent(bench: Bench) -> None:
    bench.playing_track_1()
    bench.switch("source", in_ms=200)
    bench.state(player_state(active=OTHER, version=2, epoch=2))
    assert bench.output.sounds() == PlayId("play-1")
    bench.output.at_ms = 10_700.0
    bench.pass_time(200)
    assert bench.output.sounds() is None
    switched = bench.only(Switched)
    assert (switched.at_ms, switched.position_ms) == (SERVER_NOW + 200, 10_700.0)


def test_a_source_whose_state_overtakes_the_switch_waits_for_the_instant_too(bench: Bench) -> None:
    bench.playing_track_1()
    committed = Handoff(
        handoff_id=HANDOFF,
        from_device_id=ME,
        to_device_id=DeviceId(OTHER),
        phase=Phase.COMMITTED,
        deadline_at_ms=Millis(SERVER_NOW + 5_000),
        start_at_ms=Millis(SERVER_NOW + 200),
    )
    bench.state(player_state(active=OTHER, version=2, epoch=2), committed)
    assert bench.output.sounds() == PlayId("play-1")
    bench.pass_time(200)
    assert bench.output.sounds() is None


def test_an_aborted_handoff_is_forgotten(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.player.on_frame(Abort(handoff_id=HANDOFF, reason="deadline"))
    assert bench.output.loaded == {}
    assert bench.player.wake_at_ms() is None


def test_a_target_that_cannot_fetch_refuses(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.output.say(Failed(play_id=PlayId("play-1"), code=Code.TIMEOUT, message="no answer"))
    assert bench.only(Refuse) == Refuse(handoff_id=HANDOFF, reason="no answer")


def test_a_target_of_a_paused_session_stays_silent(bench: Bench) -> None:
    bench.state(player_state(active=OTHER, paused=True))
    bench.prepare(will_play=False)
    bench.switch("target", playing=False, position_ms=10_000)
    bench.pass_time(200)
    assert bench.output.sounds() is None
    assert bench.only(Switched).position_ms == 10_000.0


def test_a_handoff_that_is_never_switched_is_forgotten_and_the_state_obeyed(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.state(player_state(version=2, epoch=2))
    assert plays(bench.output.calls) == []
    bench.pass_time(11_001)
    assert len(plays(bench.output.calls)) == 1


def test_a_second_transfer_to_the_same_device_is_a_new_one(bench: Bench) -> None:
    bench.state(player_state(active=OTHER))
    bench.prepare()
    bench.switch("target")
    bench.pass_time(200)
    bench.state(player_state(version=2, epoch=2))
    bench.state(player_state(active=OTHER, version=3, epoch=3))
    assert bench.output.sounds() is None
    bench.player.on_frame(
        Prepare(
            handoff_id=HandoffId("handoff-2"),
            device_epoch=4,
            player=player_state(active=OTHER, version=3, epoch=3),
            lease=lease(1),
            deadline_at_ms=Millis(bench.clock.now_ms() + 5_000),
            will_play=True,
        )
    )
    bench.output.say(BecameReady(play_id=PlayId("play-1")))
    assert bench.of(Ready)[-1].handoff_id == HandoffId("handoff-2")
