"""The shell around one user's handoffs: asks and answers go through here, `connect.handoff` decides."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Protocol, assert_never

import structlog

from actors.audience import Audience
from actors.devices import Devices
from actors.user_session import Ask, UserSession, refusal
from catalog.model import Codec, Rendition
from connect import handoff as rules
from connect import handoff_messages as messages
from connect import transfer_plan
from connect.frames import (
    Abort,
    CommandFrame,
    DeviceInfo,
    Lease,
    Prepare,
    Push,
    Ready,
    Refuse,
    Reply,
    Switch,
    Switched,
)
from kernel.errors import Code, SegueError, Unavailable
from kernel.ids import DeviceId, HandoffId, Uri
from kernel.units import Clock, Millis
from sessions.commands import Pause, Resume, Transfer
from sessions.inputs import CommitHandoff, HandoffMeasured
from sessions.view import PlayerState

log = structlog.get_logger()

Answer = Callable[[Reply], None]


class Media(Protocol):
    """The part of the listener that knows tracks and leases."""

    async def offered(self, track_uri: Uri, device: DeviceInfo) -> tuple[frozenset[Codec], Rendition | None]:
        """The codecs there are of a track, and the rendition this device would get."""
        ...

    async def handoff_lease(self, device: DeviceInfo, *, device_epoch: int) -> Lease | None:
        """For the current item; None when this device may or can not play it."""
        ...


class Handoffs:
    """At most one handoff at a time."""

    def __init__(
        self,
        *,
        session: UserSession,
        devices: Devices,
        audience: Audience,
        media: Media,
        clock: Clock,
        mint: Callable[[], str],
        measured: Callable[[float, float], None],
        lost: Callable[[BaseException], None],
    ) -> None:
        self.current: rules.Handoff | None = None
        """The one under way, or the last one."""
        self._session = session
        self._devices = devices
        self._audience = audience
        self._media = media
        self._clock = clock
        self._mint = mint
        self._measured = measured
        self._answers: dict[str, tuple[CommandFrame, Answer]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost = lost
        self._closed = False

    @property
    def under_way(self) -> bool:
        return self.current is not None and not self.current.is_over

    def close(self) -> None:
        """Stop at once. Whoever waits for an answer is told to ask again."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        for frame, answer in self._answers.values():
            gone = Unavailable(
                Code.GOING_AWAY, "the transfer was cut off: its session is being put away", None, Millis(500)
            )
            answer(refusal(frame.command_id, self._session.seq, gone))
        self._answers.clear()

    # --- asks ---------------------------------------------------------------------------------------

    def ask(self, frame: CommandFrame, command: Transfer, answer: Answer, sender_id: DeviceId | None) -> None:
        """A transfer, or the plan of one. The answer comes when it is committed or has failed."""
        self._spawn(self._ask(frame, command, answer, sender_id))

    async def _ask(
        self, frame: CommandFrame, command: Transfer, answer: Answer, sender_id: DeviceId | None
    ) -> None:
        try:
            reply = await self._begin(frame, command, answer, sender_id)
        except SegueError as error:
            reply = refusal(frame.command_id, self._session.seq, error)
        if reply is not None:
            answer(reply)

    async def _begin(
        self, frame: CommandFrame, command: Transfer, answer: Answer, sender_id: DeviceId | None
    ) -> Reply | None:
        target = self._devices.info(command.device_id)
        codecs, rendition = None, None
        if (track := self._session.state().track) is not None and target is not None:
            codecs, rendition = await self._media.offered(track.uri, target)
        player = self._session.state()  # again: time went by
        if frame.if_device_epoch is not None and frame.if_device_epoch != player.device_epoch:
            raise SegueError(
                Code.STALE_EPOCH,
                f"transfer for device epoch {frame.if_device_epoch} rejected: it is {player.device_epoch}",
                {"device_epoch": player.device_epoch},
            )
        offer = transfer_plan.Offer(
            has_item=player.track is not None,
            is_playing=player.is_playing,
            will_play=rules.will_play(command.restore_paused, is_playing=player.is_playing),
            codecs=codecs,
            disallows=player.disallows,
            codec=rendition.codec if rendition else None,
            bitrate_kbps=rendition.bitrate_kbps if rendition else None,
        )
        if command.plan:
            result = transfer_plan.plan(
                self._devices.state,
                offer,
                to_device_id=command.device_id,
                active_device_id=player.active_device_id,
                sender_id=sender_id,
                in_progress=self.under_way,
            )
            return Reply(command_id=frame.command_id, ok=True, seq=self._session.seq, result=result)
        error = transfer_plan.refusal(
            self._devices.state,
            offer,
            to_device_id=command.device_id,
            active_device_id=player.active_device_id,
            sender_id=sender_id,
        )
        if error is not None:
            raise error
        asker = self._mint()
        self._answers[asker] = (frame, answer)
        if self.under_way:
            self.tell(messages.TransferAsked(asker=asker, to_device_id=command.device_id))
            return None
        self.current, effects = rules.begin(
            handoff_id=HandoffId(self._mint()),
            to_device_id=command.device_id,
            restore_paused=command.restore_paused,
            asker=asker,
            facts=self._facts(player, command.device_id),
            now_ms=self._clock.now_ms(),
        )
        self._perform(effects)
        return None

    def _facts(self, player: PlayerState, target_id: DeviceId) -> rules.Facts:
        known = self._devices.state.devices
        source = known.get(player.active_device_id) if player.active_device_id is not None else None
        target = known[target_id]
        return rules.Facts(
            active_device_id=player.active_device_id,
            source_connected=source is not None and source.nonce is not None,
            source_rtt_ms=source.rtt_ms if source else None,
            target_rtt_ms=target.rtt_ms,
            target_supports_prepare=target.info.capabilities.supports_prepare,
            device_epoch=player.device_epoch,
            has_item=player.track is not None,
            is_playing=player.is_playing,
            speed=player.playback_speed or 1.0,
        )

    # --- what happens meanwhile ---------------------------------------------------------------------

    def heard(self, device_id: DeviceId, frame: Ready | Refuse | Switched) -> None:
        """A device's word on a handoff; about another one than the present it means nothing."""
        current = self.current
        if current is None or frame.handoff_id != current.handoff_id:
            return
        match frame:
            case Ready() if device_id == current.to_device_id:
                self.tell(messages.TargetReady(start_delay_ms=frame.start_delay_ms, attempt=frame.attempt))
            case Refuse() if device_id == current.to_device_id:
                self.tell(messages.TargetRefused(reason=frame.reason))
            case Switched():
                self.tell(
                    messages.Switched(device_id=device_id, at_ms=frame.at_ms, position_ms=frame.position_ms)
                )
            case _:
                return

    def connected(self, device_id: DeviceId) -> None:
        if self.current is not None and device_id == self.current.from_device_id:
            self.tell(messages.SourceReturned())

    def disconnected(self, device_id: DeviceId) -> None:
        if self.current is not None and device_id == self.current.to_device_id:
            self.tell(messages.TargetLost())
        elif self.current is not None and device_id == self.current.from_device_id:
            self.tell(messages.SourceLost())

    def session_changed(self, *, active_changed: bool) -> None:
        """What plays, where or whether, is not what was prepared."""
        current = self.current
        if current is None or current.is_over:
            return
        if active_changed:
            self.tell(messages.ActiveChanged())
            return
        player = self._session.state()
        if player.track is None:
            self.tell(messages.Stopped())
        else:
            self.tell(messages.Changed(is_playing=player.is_playing, speed=player.playback_speed or 1.0))

    def tell(self, said: messages.Input) -> None:
        if self.current is None or self.current.is_over or self._closed:
            return
        self.current, effects = rules.step(self.current, said, self._clock.now_ms())
        self._perform(effects)

    # --- effects ------------------------------------------------------------------------------------

    def _perform(self, effects: list[messages.Effect]) -> None:
        for effect in effects:
            self._do(effect)

    def _do(self, effect: messages.Effect) -> None:
        match effect:
            case messages.SendPrepare():
                assert self.current is not None, "a prepare belongs to a handoff"
                self._spawn(self._prepare(self.current, effect))
            case messages.AskCommit():
                self._ask_commit(effect)
            case messages.SendSwitch():
                self._switch(effect)
            case messages.SendAbort(reason=reason):
                assert self.current is not None, "an abort belongs to a handoff"
                target = self._audience.peers.get(self.current.to_device_id)
                if target is not None:
                    target.send(Abort(handoff_id=self.current.handoff_id, reason=reason))
            case messages.AnswerTransfer():
                self._answer(effect)
            case messages.AskPlayback(playing=playing):
                # The transfer asked for is done already, so a session that is busy is no reason to fail it.
                with suppress(Unavailable):
                    self._session.post(Ask(Resume() if playing else Pause()))
            case messages.Measured(gap_ms=gap_ms, jump_ms=jump_ms):
                assert self.current is not None, "a measurement belongs to a handoff"
                self._measured(gap_ms, jump_ms)
                noted = HandoffMeasured(handoff_id=self.current.handoff_id, gap_ms=gap_ms, jump_ms=jump_ms)
                with suppress(Unavailable):
                    self._session.post(Ask(noted))
            case messages.Publish(view=view):
                # The place that was last published: a commit is told here before its own push goes out, and a
                # volatile push from beyond it would look like a hole.
                self._audience.publish(
                    Push(owner_epoch=self._session.owner_epoch, seq=self._audience.replay.seq, handoff=view)
                )
                if self.current is not None and self.current.is_over:
                    log.info(
                        "handoff",
                        user_id=self._session.user_id,
                        handoff_id=view.handoff_id,
                        outcome=view.phase.value,
                        reason=view.reason,
                        gap_ms=view.gap_ms,
                        jump_ms=view.jump_ms,
                    )
            case messages.WakeAt(at_ms=at_ms):
                self._wake_at(at_ms)
            case _:
                assert_never(effect)

    async def _prepare(self, handoff: rules.Handoff, effect: messages.SendPrepare) -> None:
        device = self._devices.info(handoff.to_device_id)
        epoch = handoff.if_device_epoch + 1
        try:
            lease = await self._media.handoff_lease(device, device_epoch=epoch) if device else None
        except Unavailable:
            lease = None
        current, target = self.current, self._audience.peers.get(handoff.to_device_id)
        if current is None or (current.handoff_id, current.stage, current.attempt) != (
            handoff.handoff_id,
            rules.Stage.PREPARING,
            effect.attempt,
        ):
            return
        if lease is None or target is None:
            self.tell(messages.TargetRefused(reason="no_lease"))
            return
        target.send(
            Prepare(
                handoff_id=handoff.handoff_id,
                attempt=effect.attempt,
                device_epoch=epoch,
                player=self._session.state(),
                lease=lease,
                deadline_at_ms=effect.deadline_at_ms,
                will_play=effect.will_play,
            )
        )

    def _ask_commit(self, effect: messages.AskCommit) -> None:
        handoff = self.current
        assert handoff is not None, "a commit belongs to a handoff"
        commit = CommitHandoff(
            handoff_id=handoff.handoff_id,
            from_device_id=handoff.from_device_id,
            to_device_id=handoff.to_device_id,
            if_device_epoch=effect.if_device_epoch,
            start_at_ms=effect.start_at_ms,
            playing=effect.playing,
        )

        def done() -> None:
            # A pause that overtook the commit wins, so what plays is read off the session.
            self.tell(messages.CommitDone(playing=self._session.session.playhead.is_playing))

        def refused(error: SegueError) -> None:
            self.tell(messages.CommitDone(failed=error.code))

        try:
            # Done is told before the push goes out: the source must hear of the instant before it hears that
            # it is no longer the active device.
            self._session.post(Ask(commit, done=done, refused=refused))
        except Unavailable as error:
            refused(error)

    def _switch(self, effect: messages.SendSwitch) -> None:
        handoff = self.current
        assert handoff is not None, "a switch belongs to a handoff"
        player = self._session.state()
        ahead_ms = (effect.start_at_ms - player.timestamp) * player.playback_speed
        position = Millis(int(min(max(player.position_as_of_timestamp + ahead_ms, 0), player.duration)))
        ends = [("target", handoff.to_device_id)]
        if effect.to_source and handoff.from_device_id is not None:
            ends.append(("source", handoff.from_device_id))
        for role, device_id in ends:
            peer = self._audience.peers.get(device_id)
            if peer is not None:
                peer.send(
                    Switch(
                        handoff_id=handoff.handoff_id,
                        device_epoch=player.device_epoch,
                        role=role,
                        start_at_ms=effect.start_at_ms,
                        position_ms=position,
                        playing=effect.playing,
                    )
                )

    def _answer(self, effect: messages.AnswerTransfer) -> None:
        asked = self._answers.pop(effect.asker, None)
        if asked is None:
            return
        frame, answer = asked
        if effect.code is None:
            answer(
                Reply(command_id=frame.command_id, ok=True, seq=self._session.seq, result=dict(effect.result))
            )
            return
        error = SegueError(effect.code, effect.message, effect.result, effect.retry_after_ms)
        answer(refusal(frame.command_id, self._session.seq, error))

    def _wake_at(self, at_ms: Millis) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(0, at_ms - self._clock.now_ms()) / 1000
        self._timer = asyncio.get_running_loop().call_later(wait_s, self.tell, messages.DeadlineReached())

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._lost(bug)
