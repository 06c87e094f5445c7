"""A device's side of playing: it obeys the player state, reports, goes on gaplessly, and hands over.

The rules, in short (the whole is in docs/protocol.md):

- What the state says is obeyed when `playhead_version` grew. The same version is news from our own reports.
- `media` brings the leases of the current item and of those that follow; the next one is loaded early.
- At the end of an item the output goes on by itself; the server is told with `advanced`.
- As the target of a handoff: load silently, say `ready`, sound at the instant that `switch` names.
- As the source: go on, and fall silent at that instant. Any other loss of the active role is silence at once.

No socket, no loop, no clock of its own: frames, output events and `tick` come in, frames go out through
`send`. Times are server time. The device's loop calls `tick` at `wake_at_ms` at the latest.
"""

from collections.abc import Callable

import msgspec

from client.output import BecameReady, Ended, Failed, Output, OutputEvent, RanDry, Sounded, WentOn
from client.state import Mirror, position_ms
from connect.frames import (
    Abort,
    AdvancedFrame,
    ClientFrame,
    Lease,
    Media,
    Phase,
    Prepare,
    Ready,
    Refuse,
    Renew,
    Report,
    ReportState,
    ServerFrame,
    SetVolumeFrame,
    Switch,
    Switched,
)
from kernel.ids import DeviceId, HandoffId, PlayId
from kernel.units import Millis
from sessions.view import PlayerState

REPORT_EVERY_MS = 10_000
RENEW_BEFORE_MS = 20_000
RENEW_EVERY_MS = 5_000
"""Between two requests for leases."""
PREPARE_AHEAD_MS = 500
"""The target buffers from where the music will be by then."""
RETRIES_MAX = 3
"""Attempts at one play after its lease was refused; then the item is given up."""
SWITCH_LATE_MS = 6_000
"""Past its deadline a prepared handoff without `switch` or `abort` is forgotten."""


class _Prepared(msgspec.Struct, kw_only=True):
    """A handoff to us that has not been switched yet."""

    handoff_id: HandoffId
    lease: Lease
    will_play: bool
    forget_at_ms: float
    attempt: int
    answered: bool = False
    commit_version: int | None = None
    """Playhead version of the commit, once its state has arrived."""


class Player:
    """One device as a player of its user's session."""

    def __init__(
        self,
        device_id: DeviceId,
        output: Output,
        *,
        mirror: Mirror,
        now_ms: Callable[[], float],
        send: Callable[[ClientFrame], object],
    ) -> None:
        self._device_id = device_id
        self._output = output
        self._mirror = mirror
        self._now_ms = now_ms
        """Server time, by this device's estimate."""
        self._send = send
        self._obeyed_version = -1
        self._current: Lease | None = None
        """What the output was told to play or hold; None when it holds nothing."""
        self._next: Lease | None = None
        """What the output was told to go on with."""
        self._sounding = False
        self._leases: dict[PlayId, Lease] = {}
        """In playing order, the current item first."""
        self._wanted: PlayerState | None = None
        """A state that cannot be obeyed before its lease arrives."""
        self._prepared: _Prepared | None = None
        self._switch: Switch | None = None
        self._epoch_floor = 0
        """Device epoch of the last switch to us: states before it are old news."""
        self._commit_due = False
        """The state of that switch is still to come; what it says is already done."""
        self._report_at_ms: float | None = None
        self._renew_at_ms: float | None = None
        self._retries: dict[PlayId, int] = {}
        output.listen(self.on_output)

    @property
    def is_active(self) -> bool:
        player = self._mirror.player
        return player is not None and player.active_device_id == self._device_id

    @property
    def play_id(self) -> PlayId | None:
        """What sounds here now, for a hello: a resume does not restart it."""
        return self._current_id if self._sounding else None

    @property
    def _current_id(self) -> PlayId | None:
        return None if self._current is None else self._current.play_id

    # --- what comes in -------------------------------------------------------------------------------

    def on_frame(self, frame: ServerFrame) -> None:
        """Any frame from the server, after the mirror has taken it."""
        match frame:
            case Media():
                self._on_media(frame)
            case Prepare():
                self._on_prepare(frame)
            case Switch():
                self._switch = frame
                self.tick()
            case Abort():
                if self._prepared is not None and self._prepared.handoff_id == frame.handoff_id:
                    self._prepared = None
                    self._drop_unneeded()
            case SetVolumeFrame():
                self._output.set_volume(percent=frame.volume_percent, muted=frame.muted)
            case _:
                self.on_state()

    def on_state(self) -> None:
        """The mirror may have changed."""
        player = self._mirror.player
        if player is None or player.device_epoch < self._epoch_floor:
            return
        if player.active_device_id != self._device_id:
            self._on_passive()
        elif self._prepared is not None and self._prepared.lease.play_id == player.play_id:
            # The switch decides when the committed state sounds. What is commanded after the commit and
            # before the instant is obeyed right after it.
            if self._prepared.commit_version is None:
                self._prepared.commit_version = self._obeyed_version = player.playhead_version
        elif self._commit_due:
            self._commit_due = False
            self._obeyed_version = player.playhead_version
            if self._sounding:
                self._report(ReportState.PLAYING)
        elif player.playhead_version > self._obeyed_version:
            self._obey(player)
        elif self._wanted is not None:
            self._wanted = player

    def on_reconnect(self) -> None:
        """A new conversation began: what was reported into the void is said again."""
        if self._sounding:
            self._report_at_ms = self._now_ms()
        if self._prepared is not None and self._switch is None:
            # Its host may be a new one that knows nothing of it; a handoff that lives on is prepared again.
            self._prepared = None
            self._drop_unneeded()

    def on_output(self, event: OutputEvent) -> None:
        """What the output says."""
        match event:
            case BecameReady(play_id=play_id):
                self._answer_prepare(play_id)
            case Sounded(play_id=play_id):
                if play_id == self._current_id:
                    self._sounding = True
                    self._retries.pop(play_id, None)
                    self._report(ReportState.PLAYING)
            case RanDry(play_id=play_id):
                if play_id == self._current_id:
                    self._report(ReportState.BUFFERING)
            case WentOn():
                self._on_went_on(event)
            case Ended(play_id=play_id):
                if play_id == self._current_id:
                    self._sounding = False
                    self._report(ReportState.ENDED)
            case Failed():
                self._on_failed(event)

    def tick(self) -> None:
        """Do what is due."""
        now_ms = self._now_ms()
        if self._switch is not None and now_ms >= self._switch.start_at_ms - self._lead_ms(self._switch):
            self._carry_out(self._switch)
        if self._prepared is not None and self._switch is None and now_ms >= self._prepared.forget_at_ms:
            self._prepared = None
            self._obeyed_version = -1
            self.on_state()
            self._drop_unneeded()
        if self._report_at_ms is not None and now_ms >= self._report_at_ms:
            self._report(ReportState.PLAYING)
        if self._renew_at_ms is not None and now_ms >= self._renew_at_ms:
            self._renew()

    def wake_at_ms(self) -> float | None:
        """Server time at which `tick` has something to do; None when nothing is planned."""
        due = [self._report_at_ms, self._renew_at_ms]
        if self._switch is not None:
            due.append(self._switch.start_at_ms - self._lead_ms(self._switch))
        elif self._prepared is not None:
            due.append(self._prepared.forget_at_ms)
        return min((at for at in due if at is not None), default=None)

    # --- obeying -------------------------------------------------------------------------------------

    def _obey(self, player: PlayerState) -> None:
        """Make the output do what the state says."""
        self._obeyed_version = player.playhead_version
        self._wanted = None
        if player.play_id is None or player.track is None or not (player.is_playing or player.is_paused):
            self._fall_silent()
            self._current = None
            self._drop_unneeded()
            return
        lease = self._leases.get(player.play_id)
        if lease is None:
            # Whatever sounds now is not what should: silence until the lease of the right item is here.
            if player.play_id != self._current_id:
                self._fall_silent()
            self._wanted = player
            self._ask_for_leases(in_ms=RENEW_EVERY_MS)
            return
        at_ms = position_ms(player, now_ms=self._now_ms())
        self._current = lease
        self._output.load(lease, position_ms=at_ms)
        if player.is_playing:
            self._output.play(lease.play_id, position_ms=at_ms, speed=player.set_speed)
        else:
            self._fall_silent()
            self._report(ReportState.PAUSED, at_ms=at_ms)
        self._load_next()
        self._drop_unneeded()

    def _on_passive(self) -> None:
        """Another device is active, or none is."""
        player = self._mirror.player
        assert player is not None
        self._obeyed_version = player.playhead_version
        self._wanted = None
        self._report_at_ms = None
        if self._switch is not None and self._switch.role == "source":
            return
        handoff = self._mirror.handoff
        if (
            handoff is not None
            and handoff.phase is Phase.COMMITTED
            and handoff.from_device_id == self._device_id
            and handoff.start_at_ms is not None
            and handoff.start_at_ms > self._now_ms()
            and self._sounding
        ):
            # The push overtook the switch frame: the instant is the same, so wait for it here too.
            self._switch = Switch(
                handoff_id=handoff.handoff_id,
                device_epoch=player.device_epoch,
                role="source",
                start_at_ms=handoff.start_at_ms,
                position_ms=Millis(0),
                playing=False,
            )
            return
        self._let_go()

    def _let_go(self) -> None:
        self._fall_silent()
        self._current = self._next = None
        self._renew_at_ms = None
        if self._prepared is None:
            self._leases.clear()
        self._drop_unneeded()

    def _fall_silent(self) -> float:
        self._sounding = False
        self._report_at_ms = None
        self._output.then(None)
        return self._output.silence()

    # --- leases --------------------------------------------------------------------------------------

    def _on_media(self, media: Media) -> None:
        player = self._mirror.player
        if player is not None and media.device_epoch < player.device_epoch:
            return
        self._leases = {lease.play_id: lease for lease in media.leases}
        if media.leases:
            expires_at_ms = min(lease.expires_at_ms for lease in media.leases)
            self._renew_at_ms = max(expires_at_ms - RENEW_BEFORE_MS, self._now_ms() + RENEW_EVERY_MS)
        else:
            self._renew_at_ms = None
        if self._current is not None and self._current.play_id in self._leases:
            self._current = self._leases[self._current.play_id]
            self._output.load(self._current, position_ms=self._output.position_ms())
        if self._wanted is not None and self._wanted.play_id in self._leases:
            self._obey(self._wanted)
        else:
            self._load_next()
            self._drop_unneeded()

    def _load_next(self) -> None:
        """Buffer the head of what follows, so that the output can go on by itself."""
        self._next = self._following()
        if self._next is not None:
            self._output.load(self._next, position_ms=0.0)
        if self._current is not None:
            self._output.then(None if self._next is None else self._next.play_id)

    def _following(self) -> Lease | None:
        """The lease after the current one."""
        order = list(self._leases.values())
        for index, lease in enumerate(order):
            if lease.play_id == self._current_id:
                return order[index + 1] if index + 1 < len(order) else None
        return None

    def _drop_unneeded(self) -> None:
        wanted = (
            self._current_id,
            None if self._next is None else self._next.play_id,
            None if self._prepared is None else self._prepared.lease.play_id,
        )
        self._output.drop_all_but(frozenset(play_id for play_id in wanted if play_id is not None))

    def _ask_for_leases(self, *, in_ms: float) -> None:
        at_ms = self._now_ms() + in_ms
        self._renew_at_ms = at_ms if self._renew_at_ms is None else min(self._renew_at_ms, at_ms)

    def _renew(self) -> None:
        if self.is_active or self._prepared is not None:
            self._send(Renew())
            self._renew_at_ms = self._now_ms() + RENEW_EVERY_MS
        else:
            self._renew_at_ms = None

    # --- what the output did -------------------------------------------------------------------------

    def _on_went_on(self, event: WentOn) -> None:
        before, after, player = self._current, self._next, self._mirror.player
        if before is None or after is None or player is None or not self.is_active:
            return
        if (before.play_id, after.play_id) != (event.from_play_id, event.to_play_id):
            return
        self._current = after
        self._send(
            AdvancedFrame(
                device_epoch=player.device_epoch,
                from_uid=before.uid,
                to_uid=after.uid,
                play_id=event.to_play_id,
                position_ms=Millis(round(event.position_ms)),
                measured_at_ms=Millis(round(self._now_ms())),
            )
        )
        self._report_at_ms = self._now_ms() + REPORT_EVERY_MS
        self._load_next()
        self._drop_unneeded()

    def _on_failed(self, event: Failed) -> None:
        prepared = self._prepared
        if (
            prepared is not None
            and event.play_id == prepared.lease.play_id
            and event.play_id != self._current_id
        ):
            self._send(Refuse(handoff_id=prepared.handoff_id, reason=event.message[:200]))
            self._prepared = None
            self._drop_unneeded()
            return
        if event.play_id != self._current_id or not self.is_active:
            # A prefetched item: it is loaded anew with the next leases, and again when its turn comes.
            return
        tries = self._retries.get(event.play_id, 0)
        if event.lease_refused and tries < RETRIES_MAX:
            self._retries = {event.play_id: tries + 1}
            self._wanted = self._mirror.player
            self._leases.pop(event.play_id, None)
            self._renew()
            return
        # The item is given up, never passed off as heard: the server moves on and shows why.
        self._sounding = False
        self._output.silence()
        self._report(ReportState.ENDED, error=event.message[:200])

    def _report(self, state: ReportState, *, at_ms: float | None = None, error: str | None = None) -> None:
        player = self._mirror.player
        self._report_at_ms = None
        if player is None or self._current is None or not self.is_active:
            return
        if state is ReportState.PLAYING:
            self._report_at_ms = self._now_ms() + REPORT_EVERY_MS
        position = self._output.position_ms() if at_ms is None else at_ms
        self._send(
            Report(
                device_epoch=player.device_epoch,
                play_id=self._current.play_id,
                playhead_version=max(self._obeyed_version, 0),
                state=state,
                position_ms=Millis(max(0, round(position))),
                measured_at_ms=Millis(round(self._now_ms())),
                buffered_ms=self._output.buffered_ms(self._current.play_id),
                throughput_kbps=self._output.throughput_kbps(),
                error=error,
            )
        )

    # --- handoff -------------------------------------------------------------------------------------

    def _on_prepare(self, prepare: Prepare) -> None:
        now_ms = self._now_ms()
        ahead_ms = PREPARE_AHEAD_MS if prepare.will_play else 0
        self._prepared = _Prepared(
            handoff_id=prepare.handoff_id,
            lease=prepare.lease,
            will_play=prepare.will_play,
            forget_at_ms=prepare.deadline_at_ms + SWITCH_LATE_MS,
            attempt=prepare.attempt,
        )
        self._leases[prepare.lease.play_id] = prepare.lease
        self._drop_unneeded()
        self._output.load(prepare.lease, position_ms=position_ms(prepare.player, now_ms=now_ms + ahead_ms))

    def _answer_prepare(self, play_id: PlayId) -> None:
        prepared = self._prepared
        if prepared is None or prepared.lease.play_id != play_id or prepared.answered:
            return
        prepared.answered = True
        self._send(
            Ready(
                handoff_id=prepared.handoff_id,
                buffered_ms=self._output.buffered_ms(play_id),
                start_delay_ms=self._output.start_delay_ms,
                attempt=prepared.attempt,
            )
        )

    def _lead_ms(self, switch: Switch) -> int:
        """A target tells its output so much earlier, so that the sound comes out at the instant."""
        return self._output.start_delay_ms if switch.role == "target" and switch.playing else 0

    def _carry_out(self, switch: Switch) -> None:
        self._switch = None
        if switch.role == "source":
            last_ms = self._fall_silent()
            at_ms = self._now_ms()
            self._current = None
            self._leases.clear()
            self._renew_at_ms = None
            self._drop_unneeded()
        else:
            last_ms, at_ms = self._switch_in(switch)
        self._send(
            Switched(handoff_id=switch.handoff_id, at_ms=max(0.0, at_ms), position_ms=max(0.0, last_ms))
        )

    def _switch_in(self, switch: Switch) -> tuple[float, float]:
        """Sound as the target; returns the position first heard and when."""
        prepared, self._prepared = self._prepared, None
        player = self._mirror.player
        if prepared is None:
            # We forgot it (a restart between ready and switch): the state is obeyed as it stands.
            self._obeyed_version = -1
            self.on_state()
            return self._output.position_ms(), self._now_ms()
        self._current = prepared.lease
        self._epoch_floor = switch.device_epoch
        self._commit_due = prepared.commit_version is None
        heard_at_ms = self._now_ms() + self._lead_ms(switch)
        position = float(switch.position_ms)
        if switch.playing:
            # Late by as much as the loop was late: the music is where it should be, not where it was due.
            speed = 1.0 if player is None else player.set_speed
            position += max(0.0, heard_at_ms - switch.start_at_ms) * speed
            position = min(position, float(prepared.lease.duration_ms))
            self._output.play(prepared.lease.play_id, position_ms=position, speed=speed)
        else:
            self._report(ReportState.PAUSED, at_ms=position)
        self._load_next()
        self.on_state()
        return position, heard_at_ms
