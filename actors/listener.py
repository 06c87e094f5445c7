"""One user's live things on the host that owns them: the session, the devices, who is connected.

It routes: a frame goes to the entity that decides about it, what an entity decided goes to who must know. It
decides nothing itself, and it is where time comes in: one timer, set to the next thing that is due.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import assert_never

import msgspec
import structlog
from msgspec import UNSET

from actors.audience import Audience
from actors.devices import Devices
from actors.handoffs import Handoffs
from actors.leasing import Leasing
from actors.media_desk import MediaDesk
from actors.peer import Peer
from actors.user_session import Ask, UserSession, refusal
from catalog.model import Plan
from connect.device_rules import (
    ClockPublished,
    Commanded,
    Decided,
    Effect,
    Evict,
    Heard,
    Joined,
    Left,
    Lost,
    Returned,
    TellVolume,
    Tick,
    VolumeReported,
    next_wake_ms,
)
from connect.device_set import Event, VolumeChanged, devices
from connect.frames import (
    AdvancedFrame,
    ClientFrame,
    CommandFrame,
    Device,
    ErrorFrame,
    Goodbye,
    Hello,
    Limits,
    Ping,
    Pong,
    Push,
    Ready,
    Refuse,
    Renew,
    Reply,
    Report,
    SetVolumeFrame,
    Snapshot,
    Switched,
    VolumeReport,
    Welcome,
)
from connect.handoff import view
from connect.link import error_body
from connect.replay import Replay
from kernel.errors import Code, Rejected, SegueError, Unavailable
from kernel.ids import CommandId, DeviceId, UserId
from kernel.units import Clock, Millis, TickS
from media.leases import device_epoch_key
from sessions.commands import (
    ForgetDevice,
    Play,
    RenameDevice,
    Resume,
    SetVolume,
    Transfer,
)
from sessions.inputs import Advanced, DeviceLost, DeviceReturned, Reported, Wake
from sessions.upcoming import wake_at_ms
from sessions.view import PlayerDelta, PlayerState
from storage.ports import Volatile

HEARD_EVERY_S = 1.0
LOOK_AGAIN_MS = 10_000
"""The timer is set to what is due, but never further ahead: a seek does not set it anew."""
FENCED_LOOK_S = 0.5
REVOKE_GRACE_MS = 1_000
"""How long the old device may still fetch after the switch."""
EPOCH_TTL_MS = Millis(24 * 3600 * 1000)
REPLIES_MAX = 64

log = structlog.get_logger()
Answer = Callable[[Reply], None]


class Listener:
    """The shell of shells: one per user."""

    def __init__(
        self,
        user_id: UserId,
        *,
        make_session: Callable[["Listener"], UserSession],
        make_devices: Callable[["Listener"], Devices],
        desk: MediaDesk,
        volatile: Volatile,
        clock: Clock,
        limits: Limits,
        mint: Callable[[], str],
        measured: Callable[[float, float], None],
        may_act: Callable[[], bool],
    ) -> None:
        self.user_id = user_id
        self.session = make_session(self)
        self.devices = make_devices(self)
        self.alone_since_s: TickS | None = clock.tick_s()
        """Since when no device is connected; None while one is."""
        self._audience = Audience(Replay(owner_epoch=self.session.owner_epoch, seq=0))
        self._leasing = Leasing(
            session=self.session,
            devices=self.devices,
            audience=self._audience,
            desk=desk,
            clock=clock,
            prefetch_items=limits.prefetch_items,
            spawn=self._spawn,
            written=self._arm,
            may_act=may_act,
        )
        self._handoffs = Handoffs(
            session=self.session,
            devices=self.devices,
            audience=self._audience,
            media=self._leasing,
            clock=clock,
            mint=mint,
            measured=measured,
            lost=self.lost,
        )
        self._volatile = volatile
        self._clock = clock
        self._limits = limits
        self._may_act = may_act
        self._by_nonce: dict[str, Peer] = {}
        self._replies: OrderedDict[CommandId, Reply] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._host_lost: Callable[[Listener, BaseException], None] | None = None
        self._dropped = False

    # --- life ---------------------------------------------------------------------------------------

    async def open(self, lost: Callable[["Listener", BaseException], None]) -> None:
        """Come back from the log. `lost` is told when this memory is not to be trusted any more."""
        self._host_lost = lost
        await asyncio.gather(self.session.open(), self.devices.open())
        self.devices.revive()
        self._audience.replay = Replay(owner_epoch=self.session.owner_epoch, seq=self.session.seq)
        if self.session.session.device_epoch > 0:
            # The last owner may have gone before it could.
            self._spawn(self._announce_epoch())
        self._arm()

    async def close(self) -> None:
        """Finish what was accepted and fold it into the logs."""
        self.drop()
        await self.session.close()
        await self.devices.close()

    def abandon(self, why: SegueError) -> None:
        """Stop at once, keep nothing, and send everybody away: this memory is not to be trusted."""
        self.drop()
        for peer in list(self._audience.peers.values()):
            peer.close(why)
        self.session.abandon(why)
        self.devices.abandon(why)

    def drop(self) -> None:
        """No timers and no work of its own any more."""
        self._dropped = True
        if self._timer is not None:
            self._timer.cancel()
        self._handoffs.close()
        self._leasing.closed = True
        for task in self._tasks:
            task.cancel()

    def lost(self, why: BaseException) -> None:
        """One of the entities cannot go on."""
        if self._host_lost is not None and not self._dropped:
            self._host_lost(self, why)

    @property
    def peers(self) -> list[Peer]:
        """Those that were welcomed."""
        return list(self._audience.peers.values())

    @property
    def idle(self) -> bool:
        return self.session.idle and self.devices.idle and not self._handoffs.under_way

    @property
    def unwritten(self) -> bool:
        """Whether there is anything to write behind."""
        return self.session.unwritten

    async def write_behind(self) -> None:
        await self.session.write_behind()

    # --- connections --------------------------------------------------------------------------------

    def join(self, peer: Peer, hello: Hello, plan: Plan) -> None:
        """A hello with a good ticket. The welcome follows once the device is on record.

        Raises Unavailable GOING_AWAY, BUSY.
        """
        self._check_alive()
        self._leasing.plan = plan
        peer.user_id = self.user_id
        peer.device = hello.device
        peer.nonce = hello.connection_nonce
        self.alone_since_s = None
        self.devices.post(
            Joined(info=hello.device, nonce=hello.connection_nonce),
            done=lambda _: self._welcome(peer, hello),
            refused=peer.close,
        )

    def _welcome(self, peer: Peer, hello: Hello) -> None:
        if self._dropped:  # put away while it was put on record: nobody would ever hear it here
            peer.close(self._put_away())
            return
        if peer.closed:  # it went while it was put on record
            self._post_left(peer)
            return
        if peer.device_id in self._audience.peers:
            self._handoffs.disconnected(peer.device_id)  # what the replaced connection was told is lost
        self._by_nonce[peer.nonce] = peer
        self._audience.peers[peer.device_id] = peer
        self.alone_since_s = None
        missed = None
        if hello.resume is not None:
            missed = self._audience.replay.since(owner_epoch=hello.resume.owner_epoch, seq=hello.resume.seq)
        peer.send(
            Welcome(
                session_id=self.session.session.session_id,
                device_id=peer.device_id,
                owner_epoch=self.session.owner_epoch,
                seq=self.session.seq,
                now_ms=self._clock.now_ms(),
                limits=self._limits,
                resumed=missed is not None,
            )
        )
        if missed is None:
            peer.send(self.snapshot("hello" if hello.resume is None else "resume_too_old"))
        else:
            for push in missed:
                peer.send(push)
            peer.send(self._newest())
        log.info(
            "connection_opened",
            user_id=self.user_id,
            device_id=peer.device_id,
            encoding=peer.encoding.value,
            resumed=missed is not None,
        )
        self._handoffs.connected(peer.device_id)
        if peer.device_id == self.session.session.active_device_id:
            self._leasing.renew()
        self._arm()

    def leave(self, peer: Peer) -> None:
        """The socket of a peer that had joined has ended."""
        log.info(
            "connection_closed",
            user_id=self.user_id,
            device_id=peer.device_id,
            said_goodbye=peer.said_goodbye,
        )
        if self._dropped:
            return
        if self._audience.peers.get(peer.device_id) is peer:
            del self._audience.peers[peer.device_id]
            self._handoffs.disconnected(peer.device_id)
        if not self._audience.peers:
            self.alone_since_s = self._clock.tick_s()
        # A connection that was refused, or ended from here, is none that the device set knows.
        if self._by_nonce.get(peer.nonce) is peer:
            del self._by_nonce[peer.nonce]
            self._post_left(peer)
        self._arm()

    def _post_left(self, peer: Peer) -> None:
        left = Left(device_id=peer.device_id, nonce=peer.nonce, clean=peer.said_goodbye)
        self._try(lambda: self.devices.post(left))

    def receive(self, peer: Peer, frame: ClientFrame) -> None:
        """A frame that the link let through."""
        now_s = self._clock.tick_s()
        if now_s - peer.heard_s >= HEARD_EVERY_S:
            peer.heard_s = now_s
            self._try(lambda: self.devices.post(Heard(device_id=peer.device_id)))
        match frame:
            case CommandFrame():
                self.command(frame, answer=peer.send, from_device_id=peer.device_id, at_device_id=None)
            case Ping():
                self._pong(peer, frame)
            case Report() | AdvancedFrame():
                self._report(peer, frame)
            case VolumeReport():
                said = VolumeReported(
                    device_id=peer.device_id, volume_percent=frame.volume_percent, muted=frame.muted
                )
                self._try(lambda: self.devices.post(said), peer)
            case Ready() | Refuse() | Switched():
                self._handoffs.heard(peer.device_id, frame)
            case Renew():
                self._leasing.renew()
            case Goodbye():
                peer.said_goodbye = True
                peer.dismiss("goodbye")
            case Hello():
                raise AssertionError("the link lets one hello through")
            case _:
                assert_never(frame)

    def _pong(self, peer: Peer, ping: Ping) -> None:
        now_ms = float(self._clock.now_ms())
        peer.send(Pong(t0_ms=ping.t0_ms, t1_ms=now_ms, t2_ms=now_ms))
        if ping.rtt_ms is not None:
            said = ClockPublished(
                device_id=peer.device_id,
                rtt_ms=ping.rtt_ms,
                clock_offset_ms=ping.clock_offset_ms,
                clock_error_ms=ping.clock_error_ms,
            )
            self._try(lambda: self.devices.post(said), peer)

    def _report(self, peer: Peer, frame: Report | AdvancedFrame) -> None:
        said: Reported | Advanced
        if isinstance(frame, Report):
            if frame.throughput_kbps is not None:
                self._leasing.measured(peer.device_id, frame.throughput_kbps)
            said = Reported(
                device_id=peer.device_id,
                device_epoch=frame.device_epoch,
                play_id=frame.play_id,
                playhead_version=frame.playhead_version,
                state=frame.state.value,
                position_ms=frame.position_ms,
                measured_at_ms=frame.measured_at_ms,
                error=frame.error,
            )
        else:
            said = Advanced(
                device_id=peer.device_id,
                device_epoch=frame.device_epoch,
                from_uid=frame.from_uid,
                to_uid=frame.to_uid,
                play_id=frame.play_id,
                position_ms=frame.position_ms,
                measured_at_ms=frame.measured_at_ms,
            )
        self._try(lambda: self.session.post(Ask(said, refused=lambda error: _tell(peer, error))), peer)

    # --- commands -----------------------------------------------------------------------------------

    def command(
        self,
        frame: CommandFrame,
        *,
        answer: Answer,
        from_device_id: DeviceId | None,
        at_device_id: DeviceId | None,
    ) -> None:
        """One command from a device or, without `from_device_id`, from REST. Always answered, once."""
        try:
            self._check_alive()
            match frame.command:
                case Transfer() as transfer:
                    if not self._answered_before(frame, answer):
                        self._handoffs.ask(frame, transfer, self._keeping(answer), from_device_id)
                case SetVolume() | RenameDevice() | ForgetDevice() as command:
                    if not self._answered_before(frame, answer):
                        self._command_devices(frame, command, self._keeping(answer), from_device_id)
                case command:
                    device_id = None
                    if isinstance(command, Play | Resume):
                        device_id = self._device_for(command.device_id or at_device_id, from_device_id)
                    self.session.post(
                        Ask(
                            command,
                            answer=answer,
                            command_id=frame.command_id,
                            if_device_epoch=frame.if_device_epoch,
                            if_queue_version=frame.if_queue_version,
                            actor_id=self.user_id,
                            device_id=device_id,
                        )
                    )
        except SegueError as error:
            answer(refusal(frame.command_id, self.session.seq, error))

    def _command_devices(
        self,
        frame: CommandFrame,
        command: SetVolume | RenameDevice | ForgetDevice,
        answer: Answer,
        from_device_id: DeviceId | None,
    ) -> None:
        def done(decided: Decided) -> None:
            answer(
                Reply(command_id=frame.command_id, ok=True, seq=self.session.seq, result=dict(decided.result))
            )

        self.devices.post(
            Commanded(command=command, sender_id=from_device_id),
            done=done,
            refused=lambda error: answer(refusal(frame.command_id, self.session.seq, error)),
        )

    def _device_for(self, named: DeviceId | None, sender: DeviceId | None) -> DeviceId | None:
        """Where a play or resume sounds: the device named, else the active one, else the sender."""
        if named is not None:
            info = self.devices.info(named)
            if info is None or not info.capabilities.can_be_player:
                why = "it is not connected" if info is None else "it is not a player"
                raise Rejected(Code.DEVICE_UNAVAILABLE, f"device {named} asked for: {why}")
            return named
        active = self.session.session.active_device_id
        if active is not None:
            return active
        info = self.devices.info(sender)
        return sender if info is not None and info.capabilities.can_be_player else None

    def _answered_before(self, frame: CommandFrame, answer: Answer) -> bool:
        if frame.command_id not in self._replies:
            return False
        answer(self._replies[frame.command_id])
        return True

    def _keeping(self, answer: Answer) -> Answer:
        def keep(reply: Reply) -> None:
            self._replies[reply.command_id] = reply
            if len(self._replies) > REPLIES_MAX:
                self._replies.popitem(last=False)
            answer(reply)

        return keep

    # --- what the session did -----------------------------------------------------------------------

    def publish(self, push: Push) -> None:
        """The session's push, to everybody; with the device list when the active one changed."""
        player = push.player
        assert player is not UNSET, "a session's push says what changed of the player"
        moved = player.active_device_id is not UNSET
        if moved:
            push = msgspec.structs.replace(push, devices=self._device_list())
        self._audience.publish(push)
        if push.durable or player.playhead_version is not UNSET:
            self._handoffs.session_changed(active_changed=moved and self._committed_elsewhere())
        if moved and not self._dropped:
            self._spawn(self._announce_epoch())

    def session_changed(self) -> None:
        """A durable change: leases may have to be written for other items or another device."""
        self._leasing.refresh()
        self._arm()

    def _committed_elsewhere(self) -> bool:
        current = self._handoffs.current
        return current is not None and self.session.session.active_device_id != current.to_device_id

    async def _announce_epoch(self) -> None:
        """Tell the edge, a moment after the switch, that older leases of this session are void."""
        session = self.session.session
        current = self._handoffs.current
        wait_ms = REVOKE_GRACE_MS
        if current is not None and current.start_at_ms is not None:
            wait_ms += max(0, current.start_at_ms - self._clock.now_ms())
        await asyncio.sleep(wait_ms / 1000)
        try:
            await self._volatile.put(
                device_epoch_key(session.session_id), b"", epoch=session.device_epoch, ttl_ms=EPOCH_TTL_MS
            )
        except Unavailable as error:
            log.warning("epoch_not_announced", user_id=self.user_id, why=str(error))

    # --- what the devices did -----------------------------------------------------------------------

    def devices_shown(self, events: tuple[Event, ...]) -> None:
        """Something that other devices see of a device has changed."""
        if self._dropped:
            # The session may be folded already, under a place in the log that no device was told of.
            return
        but = events[0].by if len(events) == 1 and isinstance(events[0], VolumeChanged) else None
        self._audience.publish(
            Push(owner_epoch=self.session.owner_epoch, seq=self.session.seq, devices=self._device_list()),
            but=but,
        )
        self._arm()

    def perform(self, effect: Effect) -> None:
        match effect:
            case TellVolume():
                peer = self._audience.peers.get(effect.device_id)
                if peer is not None:
                    peer.send(SetVolumeFrame(volume_percent=effect.volume_percent, muted=effect.muted))
            case Evict():
                peer = self._by_nonce.pop(effect.nonce, None)
                if peer is None:
                    return
                if effect.code is None:
                    peer.dismiss("forgotten")
                else:
                    peer.close(
                        SegueError(effect.code, f"device {effect.device_id}: this connection was ended")
                    )
            case Lost():
                lost = DeviceLost(
                    device_id=effect.device_id,
                    last_seen_ms=effect.last_seen_ms,
                    release=effect.release,
                )
                self._try(lambda: self.session.post(Ask(lost)))
            case Returned():
                returned = DeviceReturned(device_id=effect.device_id)
                self._try(lambda: self.session.post(Ask(returned)))
            case _:
                assert_never(effect)

    # --- what others see ----------------------------------------------------------------------------

    def snapshot(self, reason: str) -> Snapshot:
        current = self._handoffs.current
        return Snapshot(
            owner_epoch=self.session.owner_epoch,
            seq=self.session.seq,
            player=self.session.state(),
            devices=self._device_list(),
            handoff=view(current) if current is not None and not current.is_over else None,
            reason=reason,
        )

    def _newest(self) -> Push:
        """The newest of what is not replayed."""
        state = self.session.state()
        return Push(
            owner_epoch=self.session.owner_epoch,
            seq=self.session.seq,
            player=_playhead_of(state),
            devices=self._device_list(),
        )

    def _device_list(self) -> tuple[Device, ...]:
        return devices(self.devices.state, active_device_id=self.session.session.active_device_id)

    # --- time ---------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Set the timer to what is due next."""
        if self._dropped:
            return
        now_ms = self._clock.now_ms()
        active = self.session.session.active_device_id
        due = [now_ms + LOOK_AGAIN_MS]
        for at_ms in (
            wake_at_ms(self.session.session),
            next_wake_ms(self.devices.state, active_device_id=active),
            self._leasing.due_ms,
        ):
            if at_ms is not None:
                due.append(at_ms)
        if self._timer is not None:
            self._timer.cancel()
        if len(due) == 1 and not self._audience.peers:
            self._timer = None
            return
        wait_s = max(min(due) - now_ms, 20) / 1000
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_time)

    def _on_time(self) -> None:
        if not self._may_act():
            # Frozen and woken again, perhaps: another host may do all of this by now.
            self._timer = asyncio.get_running_loop().call_later(FENCED_LOOK_S, self._on_time)
            return
        now_ms = self._clock.now_ms()
        active = self.session.session.active_device_id
        session_due = wake_at_ms(self.session.session)
        devices_due = next_wake_ms(self.devices.state, active_device_id=active)
        if session_due is not None and session_due <= now_ms:
            self._try(lambda: self.session.post(Ask(Wake())))
        if devices_due is not None and devices_due <= now_ms:
            self._try(lambda: self.devices.post(Tick()))
        if self._leasing.due_ms is not None and self._leasing.due_ms <= now_ms:
            self._leasing.renew()
        self._arm()

    # --- small things -------------------------------------------------------------------------------

    def _check_alive(self) -> None:
        if self._dropped:
            raise self._put_away()

    def _put_away(self) -> Unavailable:
        return Unavailable(Code.GOING_AWAY, "the session is being put away", None, Millis(100))

    def _try(self, post: Callable[[], None], peer: Peer | None = None) -> None:
        """Post what has no reply: a full mailbox is told to the peer, and otherwise passed over."""
        try:
            post()
        except Unavailable as error:
            if peer is not None:
                _tell(peer, error)

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self.lost(bug)


def _tell(peer: Peer, error: SegueError) -> None:
    peer.send(ErrorFrame(error=error_body(error)))


def _playhead_of(state: PlayerState) -> PlayerDelta:
    return PlayerDelta(
        is_playing=state.is_playing,
        is_paused=state.is_paused,
        is_buffering=state.is_buffering,
        position_as_of_timestamp=state.position_as_of_timestamp,
        timestamp=state.timestamp,
        playback_speed=state.playback_speed,
        set_speed=state.set_speed,
        playhead_version=state.playhead_version,
        disallows=state.disallows,
    )
