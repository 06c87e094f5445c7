"""Another process on the same embedded stores: a program that `test_embedded.py` runs and talks to by lines.

python embedded_worker.py <data folder> race <name>      append 1…50 to `race`, say each outcome
python embedded_worker.py <data folder> write            append for ever, say each record once acknowledged
python embedded_worker.py <data folder> blob <file>      keep <file> as the blob `audio/big`
python embedded_worker.py <data folder> full             append until files may not grow, say the error's code
"""

import asyncio
import resource
import sys
import time
from pathlib import Path

from kernel.errors import Unavailable
from kernel.units import Millis, TickS
from storage.ports import LogRecord
from storage.stores import Stores, open_stores

RACE_ROUNDS = 50
WRITERS = 8
SMALL_FILE_BYTES = 400_000


class SystemClock:
    def now_ms(self) -> Millis:
        return Millis(time.time_ns() // 1_000_000)

    def tick_s(self) -> TickS:
        return TickS(time.monotonic())


def say(*words: object) -> None:
    print(*words, flush=True)


async def race(stores: Stores, name: str) -> None:
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for seq in range(1, RACE_ROUNDS + 1):
        [outcome] = await stores.log.append(
            [LogRecord(key="race", seq=seq, owner_epoch=1, payload=name.encode())]
        )
        say(seq, outcome)


async def write(stores: Stores) -> None:
    async def writer(key: str) -> None:
        seq = 0
        while True:
            seq += 1
            await stores.log.append([LogRecord(key=key, seq=seq, owner_epoch=1, payload=b"%d" % seq)])
            say(key, seq)

    await asyncio.gather(*(writer(f"writer/{number}") for number in range(WRITERS)))


async def full(stores: Stores) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILE_BYTES, hard))
    seq = 1
    try:
        while True:
            await stores.log.append([LogRecord(key="full", seq=seq, owner_epoch=1, payload=b"x" * 9_000)])
            seq += 1
    except Unavailable as error:
        say(seq, error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    # The very same record: after the error its outcome was unknown.
    [outcome] = await stores.log.append([LogRecord(key="full", seq=seq, owner_epoch=1, payload=b"x" * 9_000)])
    say(outcome)


async def main(folder: str, what: str, *arguments: str) -> None:
    stores = open_stores(Path(folder), SystemClock())
    match what:
        case "race":
            await race(stores, *arguments)
        case "write":
            await write(stores)
        case "blob":
            await stores.blobs.put("audio/big", Path(*arguments), content_type="audio/mp4")
        case "full":
            await full(stores)
        case _:
            raise SystemExit(f"nothing is called {what!r}")
    await stores.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
