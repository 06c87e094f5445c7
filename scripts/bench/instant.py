"""Two players that buffer nothing and are ready at once: what is left of a handoff is the server's part."""

import asyncio
import time
from typing import Any

from msgspec import UNSET

from client.raw import RawSocket
from connect.codec import decode_server
from connect.frames import CommandFrame, Prepare, Push, Ready, Reply, Switch, Switched
from kernel.errors import SegueError
from kernel.ids import CommandId, DeviceId, Uri
from scripts.bench.load import device_info, join, until_reply
from sessions.commands import Play, Transfer

REST_S = 0.02
WITHIN_S = 15.0


class InstantPlayer:
    """Answers `prepare` with `ready` and `switch` with `switched`, from within the callback."""

    def __init__(self, device_id: str, socket: RawSocket) -> None:
        self.device_id = DeviceId(device_id)
        self.socket = socket
        self.replies: dict[str, asyncio.Future[tuple[float, Reply]]] = {}
        self.measured: asyncio.Queue[tuple[str, float]] = asyncio.Queue(1024)
        """`(handoff id, gap in milliseconds)` of each one that ended."""
        socket.on_message = self._on_message

    def _on_message(self, payload: bytes) -> None:
        match decode_server(payload, self.socket.encoding):
            case Prepare() as prepare:
                self.socket.send(
                    Ready(handoff_id=prepare.handoff_id, buffered_ms=5_000, attempt=prepare.attempt)
                )
            case Switch() as switch:
                # The server's clock is this machine's: no offset to work out.
                wait_s = max(0.0, switch.start_at_ms / 1000 - time.time())
                asyncio.get_running_loop().call_later(wait_s, self._switched, switch)
            case Reply() as reply:
                waiting = self.replies.pop(reply.command_id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result((time.perf_counter(), reply))
            case Push(player=player) if player is not UNSET and player.last_handoff is not UNSET:
                last = player.last_handoff
                if last is not None and last.gap_ms is not None:
                    self.measured.put_nowait((last.handoff_id, last.gap_ms))
            case _:
                pass

    def _switched(self, switch: Switch) -> None:
        late_ms = time.time() * 1000 - switch.start_at_ms
        self.socket.send(
            Switched(
                handoff_id=switch.handoff_id,
                at_ms=switch.start_at_ms + late_ms,
                position_ms=max(0.0, switch.position_ms + late_ms),
            )
        )

    async def command(self, frame: CommandFrame) -> tuple[float, Reply]:
        """The reply, and how long it took in seconds."""
        answered: asyncio.Future[tuple[float, Reply]] = asyncio.get_running_loop().create_future()
        self.replies[frame.command_id] = answered
        began = time.perf_counter()
        self.socket.send(frame)
        async with asyncio.timeout(WITHIN_S):
            at, reply = await answered
        return at - began, reply


async def hand_over(question: dict[str, Any]) -> dict[str, Any]:
    """There and back, so many times; what each transfer took until its reply, and the gap published."""
    (ticket,) = question["tickets"]
    one = await join(question["url"], ticket, device_info("instant-a"), nonce="nonce-instant-a")
    two = await join(question["url"], ticket, device_info("instant-b"), nonce="nonce-instant-b")
    play = CommandFrame(command_id=CommandId("play-first"), command=Play(context_uri=Uri(question["album"])))
    one.send(play)
    reply = await until_reply(one, play.command_id)
    if not reply.ok:
        raise RuntimeError(f"play was refused: {reply.error}")
    here, there = InstantPlayer("instant-a", one), InstantPlayer("instant-b", two)
    reply_ms: list[float] = []
    gaps_ms: list[float] = []
    for turn in range(question["count"]):
        transfer = CommandFrame(
            command_id=CommandId(f"transfer-{turn:06}"), command=Transfer(device_id=there.device_id)
        )
        took_s, reply = await here.command(transfer)
        if not reply.ok:
            raise RuntimeError(f"transfer {turn} was refused: {reply.error}")
        reply_ms.append(took_s * 1000)
        async with asyncio.timeout(WITHIN_S):
            while (got := await here.measured.get())[0] != reply.result.get("handoff_id"):
                pass
        gaps_ms.append(got[1])
        here, there = there, here
        while not here.measured.empty():
            here.measured.get_nowait()
        await asyncio.sleep(REST_S)
    for socket in (one, two):
        try:
            await socket.close()
        except SegueError:
            continue
    return {"reply_ms": reply_ms, "gaps_ms": gaps_ms}
