"""One entity's turns: a bounded mailbox, one message at a time, a deadline for each.

A message that needs no waiting is handled within `post`, without a task or a trip through the event loop:
that is what makes a seek cheap. One that must wait (a commit, a fetch) holds the turn; later messages queue
up behind it and are handled in order when it ends. Within a turn nobody else sees half a change.

The entity is told when a turn ran out of time: its memory can no longer be trusted, so it is dropped and
comes back from its log.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from kernel.errors import Code, Unavailable
from kernel.units import Millis

MAILBOX_MAX = 256
TURN_DEADLINE_S = 5.0
BURST_MAX = 32
"""Messages handled in one go before other entities get the loop."""

M = TypeVar("M")


class Turn(Generic[M]):
    """The mailbox of one entity.

    `handle` does the work: it returns None when it is done, or an awaitable for the rest of the turn. It
    turns what its caller may know into answers itself; what it raises is a bug, and `poisoned` is told.
    """

    def __init__(
        self,
        handle: Callable[[M], Awaitable[None] | None],
        poisoned: Callable[[BaseException], None],
        *,
        deadline_s: float = TURN_DEADLINE_S,
    ) -> None:
        self._handle = handle
        self._poisoned = poisoned
        self._deadline_s = deadline_s
        self._mailbox: deque[M] | None = None
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self._closed = False

    @property
    def idle(self) -> bool:
        return not self._busy and not self._mailbox

    def post(self, message: M) -> None:
        """Handle `message` now, or queue it behind the turn that runs.

        Raises Unavailable BUSY when the mailbox is full, GOING_AWAY after `close`.
        """
        if self._closed:
            raise Unavailable(
                Code.GOING_AWAY, "message not taken: the entity is being put away", None, Millis(100)
            )
        if self._busy:
            if self._mailbox is None:
                self._mailbox = deque()
            if len(self._mailbox) >= MAILBOX_MAX:
                raise Unavailable(
                    Code.BUSY, f"message not taken: {MAILBOX_MAX} are waiting already", None, Millis(250)
                )
            self._mailbox.append(message)
            return
        self._start(message)

    async def close(self) -> None:
        """Take no more messages; return when those accepted are done."""
        self._closed = True
        while self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    def _start(self, message: M) -> None:
        self._busy = True
        try:
            rest = self._handle(message)
        except Exception as bug:
            self._busy = False
            self._poisoned(bug)
            return
        if rest is None:
            self._busy = False
            return
        self._task = asyncio.get_running_loop().create_task(self._run(rest))

    async def _run(self, rest: Awaitable[None] | None) -> None:
        handled = 0
        try:
            while True:
                if rest is not None:
                    async with asyncio.timeout(self._deadline_s):
                        await rest
                if not self._mailbox:
                    break
                handled += 1
                if handled % BURST_MAX == 0:
                    await asyncio.sleep(0)
                rest = self._handle(self._mailbox.popleft())
        except Exception as bug:
            self._closed = True
            self._poisoned(bug)
        finally:
            self._mailbox = None
            self._busy = False
            self._task = None
