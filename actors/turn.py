"""One entity's turns: a bounded mailbox, one message at a time, a deadline for each.

A message that needs no waiting is handled within `post`, without a task or a trip through the event loop:
that is what makes a seek cheap. One that must wait (a commit, a fetch) holds the turn; later messages queue
up behind it and are handled in order when it ends. Within a turn nobody else sees half a change; what a turn
posts to its own entity comes after it.

A turn that ran out of time or met a bug leaves a memory that can no longer be trusted: the owner is told, so
that the entity is dropped and comes back from its log. Whoever waited is turned away with the reason.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from kernel.errors import Code, SegueError, Unavailable
from kernel.units import Millis

MAILBOX_MAX = 256
TURN_DEADLINE_S = 5.0
BURST_MAX = 32
"""Messages handled in one go before other entities get the loop."""

M = TypeVar("M")
Rest = Coroutine[Any, Any, None]
"""What of a turn has to wait."""


class Turn(Generic[M]):
    """The mailbox of one entity.

    `handle` does the work: it returns None when it is done, or the rest of the turn. It turns what its caller
    may know into answers itself; what it raises is a bug, and `poisoned` is told. `turned_away` gets each
    message that was accepted and will not be handled to its end.
    """

    __slots__ = (
        "_busy",
        "_closed",
        "_deadline_s",
        "_handle",
        "_mailbox",
        "_message",
        "_poisoned",
        "_task",
        "_turned_away",
    )

    def __init__(
        self,
        handle: Callable[[M], Rest | None],
        *,
        poisoned: Callable[[BaseException], None],
        turned_away: Callable[[M, SegueError], None],
        deadline_s: float = TURN_DEADLINE_S,
    ) -> None:
        self._handle = handle
        self._poisoned = poisoned
        self._turned_away = turned_away
        self._deadline_s = deadline_s
        self._mailbox: deque[M] | None = None
        self._task: asyncio.Task[None] | None = None
        self._message: M | None = None
        """What the task is at; None without a task."""
        self._busy = False
        self._closed = False

    @property
    def idle(self) -> bool:
        return not self._busy

    def post(self, message: M) -> None:
        """Handle `message` now, or queue it behind the turn that runs.

        Raises Unavailable BUSY when the mailbox is full, GOING_AWAY after `close`.
        """
        if self._closed:
            raise Unavailable(
                Code.GOING_AWAY, "message not taken: the entity is being put away", None, Millis(100)
            )
        if not self._busy:
            self._start(message)
            return
        if self._mailbox is None:
            self._mailbox = deque()
        if len(self._mailbox) >= MAILBOX_MAX:
            raise Unavailable(
                Code.BUSY, f"message not taken: {MAILBOX_MAX} are waiting already", None, Millis(250)
            )
        self._mailbox.append(message)

    async def close(self) -> None:
        """Take no more messages; return when those accepted are done."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])

    def abandon(self, why: SegueError) -> None:
        """Stop at once: cut the turn off, unless it is the one that asks, and turn all messages away."""
        self._closed = True
        waiting = list(self._mailbox or ())
        self._mailbox = None
        if self._task is not None and self._task is not asyncio.current_task():
            assert self._message is not None, "a task has a message"
            waiting.insert(0, self._message)
            self._task.cancel()
        for message in waiting:
            self._turned_away(message, why)

    def _start(self, message: M) -> None:
        self._busy = True
        for _ in range(BURST_MAX):
            try:
                rest = self._handle(message)
            except Exception as bug:
                self._busy = False
                self._fail(message, bug)
                return
            if rest is not None:
                break
            if not self._mailbox:
                self._busy = False
                return
            message = self._mailbox.popleft()
        else:
            rest = self._handled(message)
        self._message = message
        self._task = asyncio.get_running_loop().create_task(self._run(rest))
        # Cut off before its first step, a task never gets to what it would have waited for.
        self._task.add_done_callback(lambda _: rest.close())

    async def _handled(self, message: M) -> None:
        rest = self._handle(message)
        if rest is not None:
            await rest

    async def _run(self, rest: Rest | None) -> None:
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
                self._message = self._mailbox.popleft()
                rest = self._handle(self._message)
        except TimeoutError:
            late = Unavailable(Code.TIMEOUT, f"a turn was not done within {self._deadline_s} s")
            self._fail(self._message, late)
        except Exception as bug:
            self._fail(self._message, bug)
        finally:
            self._mailbox = None
            self._message = None
            self._task = None
            self._busy = False

    def _fail(self, message: M | None, why: Exception) -> None:
        self._closed = True
        self._poisoned(why)
        known = why if isinstance(why, SegueError) else SegueError(Code.INTERNAL, "a turn met a bug")
        self.abandon(known)
        if message is not None:
            self._turned_away(message, known)
