"""The load generator's process: asked in lines of JSON what to do, by `scripts.bench.child`."""

import asyncio
from typing import Any

import uvloop

from scripts.bench.answering import answer_until_the_end, say
from scripts.bench.http_load import http_load
from scripts.bench.instant import hand_over
from scripts.bench.load import Idle, fan_out, reconnect


async def run() -> None:
    idle = Idle()
    say(ready=True)

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        match question["op"]:
            case "fan_out":
                return await fan_out(question)
            case "idle":
                return await idle.open(question)
            case "reconnect":
                return await reconnect(question)
            case "handoff":
                return await hand_over(question)
            case "http":
                return await http_load(question)
            case other:
                raise ValueError(f"{other!r} asked; fan_out, idle, reconnect, handoff and http there are")

    await answer_until_the_end(answer)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
