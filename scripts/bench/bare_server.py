"""The yardstick: a bare `websockets` server that does the same fan-out and nothing else.

For each message: decode the typed frame, send a reply to its sender, and a push of the size that a seek makes
to the two sockets of its user. No session, no queue, no log, no limits, no clock. Same loop, same options,
same encoder, same frames as the host.
"""

import asyncio
from collections import defaultdict
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from connect.codec import Encoding, decode_client, encode
from connect.frames import (
    FRAME_BYTES_MAX,
    SUBPROTOCOL_MSGPACK,
    CommandFrame,
    Hello,
    Limits,
    Push,
    Reply,
    Welcome,
)
from kernel.ids import SessionId
from kernel.units import Millis
from scripts.bench.answering import answer_until_the_end, say
from sessions.commands import SeekTo
from sessions.view import PlayerDelta

NOW = Millis(1_790_000_000_000)


async def run() -> None:
    rooms: dict[str, list[ServerConnection]] = defaultdict(list)

    async def handle(connection: ServerConnection) -> None:
        room: list[ServerConnection] = []
        version = 0
        try:
            async for message in connection:
                frame = decode_client(message, Encoding.MSGPACK)
                match frame:
                    case Hello():
                        room = rooms[frame.ticket]
                        room.append(connection)
                        welcome = Welcome(
                            session_id=SessionId(frame.ticket),
                            device_id=frame.device.device_id,
                            owner_epoch=1,
                            seq=1,
                            now_ms=NOW,
                            limits=Limits(),
                            resumed=False,
                        )
                        broadcast((connection,), encode(welcome, Encoding.MSGPACK))
                    case CommandFrame(command=command):
                        version += 1
                        position = command.position_ms if isinstance(command, SeekTo) else Millis(0)
                        push = Push(
                            owner_epoch=1,
                            seq=1,
                            player=PlayerDelta(
                                is_playing=True,
                                is_paused=False,
                                is_buffering=False,
                                position_as_of_timestamp=position,
                                timestamp=NOW,
                                playback_speed=1.0,
                                set_speed=1.0,
                                playhead_version=version,
                                started_playing_at=NOW,
                            ),
                            command_id=frame.command_id,
                        )
                        broadcast(room, encode(push, Encoding.MSGPACK))
                        reply = Reply(command_id=frame.command_id, ok=True, seq=1)
                        broadcast((connection,), encode(reply, Encoding.MSGPACK))
                    case _:
                        pass
        except ConnectionClosed:
            return
        finally:
            if connection in room:
                room.remove(connection)

    async with serve(
        handle,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(SUBPROTOCOL_MSGPACK)],
        compression=None,
        max_size=FRAME_BYTES_MAX,
        max_queue=16,
        write_limit=64 * 1024,
        server_header=None,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        say(url=f"ws://127.0.0.1:{port}/")

        async def answer(question: dict[str, Any]) -> dict[str, Any]:
            return {"tickets": question["users"]}

        await answer_until_the_end(answer)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
