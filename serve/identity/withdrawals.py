"""What was withdrawn before its time: the tokens of a user, of a client, or of one login of a client.

An access token is checked without a store, so whoever checks one keeps a copy of what was withdrawn lately.
The copy is read from a log in the store, at most every REFRESH_S; so a withdrawal holds everywhere within a
few seconds, and at once where it was made. An entry matters for as long as a token from before it may live,
and is removed after that: the copy stays small however many users there are.

    withdrawals    <time, 13 digits>/<subject>   epoch     appended, read by time, swept by age

A subject is `user/<id>` (tokens of an epoch below the entry's are refused), `family/<id>` or `client/<id>`
(all of theirs are). A store that does not answer leaves the copy in use.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from kernel.errors import Code, Rejected, Unavailable
from kernel.ids import UserId
from kernel.units import Clock, Millis, TickS
from serve.settings import Settings
from storage.ports import Documents

COLLECTION = "withdrawals"
REFRESH_S = 1.0
OVERLAP_MS = 15_000
"""How far back each read begins again: clocks of two servers differ, and an insert may take a while."""
PAGE = 500
SUBJECTS_MAX = 200_000
"""Of an hour. When full the oldest goes, and its tokens are good until they run out."""
SWEPT_AT_ONCE = 100

_log = structlog.get_logger(__name__)


class Bearer(Protocol):
    """What a token or a ticket says of where it came from."""

    @property
    def user_id(self) -> UserId: ...

    @property
    def session_epoch(self) -> int: ...

    @property
    def client_id(self) -> str: ...

    @property
    def family(self) -> str: ...


async def withdraw_user(documents: Documents, clock: Clock, user_id: UserId, *, session_epoch: int) -> None:
    """Tokens of this user from before the epoch. Raises Unavailable; repeating it is safe."""
    await _append(documents, clock, f"user/{user_id}", session_epoch)


async def withdraw_family(documents: Documents, clock: Clock, family: str) -> None:
    """Tokens that came from one code, directly or by refreshing."""
    await _append(documents, clock, f"family/{family}", 0)


async def withdraw_client(documents: Documents, clock: Clock, client_id: str) -> None:
    """Tokens of everybody that were given to this client."""
    await _append(documents, clock, f"client/{client_id}", 0)


async def _append(documents: Documents, clock: Clock, subject: str, epoch: int) -> None:
    await documents.put(COLLECTION, [(f"{clock.now_ms():013d}/{subject}", str(epoch).encode())])


class Withdrawals:
    """This process's copy. Checking never suspends."""

    def __init__(self, documents: Documents, clock: Clock, *, life_ms: Millis) -> None:
        """`life_ms`: the longest life of a token."""
        self._documents = documents
        self._clock = clock
        self._life_ms = life_ms
        # subject -> (epoch, when), oldest first.
        self._known: dict[str, tuple[int, Millis]] = {}
        self._newest_ms = Millis(0)
        self._refreshed_s = TickS(float("-inf"))
        self._read = False
        self._refreshing = asyncio.Lock()
        self._watchers: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, documents: Documents, clock: Clock, settings: Settings) -> "Withdrawals":
        """Reads what there is. Raises Unavailable."""
        # A ticket outlives the access token that it was made from by its own life.
        life_s = settings.token_ttl_s + settings.ticket_ttl_s
        withdrawals = cls(documents, clock, life_ms=Millis(life_s * 1000))
        await withdrawals.refresh()
        return withdrawals

    def is_withdrawn(self, bearer: Bearer) -> bool:
        known = self._known
        if not known:
            return False
        user = known.get(f"user/{bearer.user_id}")
        return (
            (user is not None and bearer.session_epoch < user[0])
            or (bearer.client_id != "" and f"client/{bearer.client_id}" in known)
            or (bearer.family != "" and f"family/{bearer.family}" in known)
        )

    def require_current(self, bearer: Bearer) -> None:
        """Raises Rejected UNAUTHORIZED."""
        if self.is_withdrawn(bearer):
            raise Rejected(
                Code.UNAUTHORIZED, "token rejected: it was withdrawn; log in again", {"expired": False}
            )

    def on_news(self, watcher: Callable[[], None]) -> None:
        """Called after each refresh that learnt something."""
        self._watchers.append(watcher)

    def start(self) -> None:
        """Refresh in the background until `stop`, where nobody asks often. Needs a running loop."""
        assert self._task is None, "started twice"
        self._task = asyncio.create_task(self._run(), name="withdrawals")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            await self.refresh_if_due()

    async def refresh_if_due(self) -> None:
        """Read what is new when the copy is REFRESH_S old. Never raises Unavailable."""
        if self._read and self._clock.tick_s() - self._refreshed_s < REFRESH_S:
            return
        try:
            await self.refresh(unless_younger_s=REFRESH_S)
        except Unavailable as fault:
            _log.warning("withdrawals not read", reason=str(fault))

    async def refresh(self, *, unless_younger_s: float = 0.0) -> None:
        """Read what is new. Raises Unavailable; then the copy stays as it was."""
        if self._read and self._refreshing.locked() and unless_younger_s:
            return  # somebody is at it, and a copy of a moment ago is good enough
        async with self._refreshing:
            if unless_younger_s and self._clock.tick_s() - self._refreshed_s < unless_younger_s:
                return
            # Set first: a store that fails is asked no more often than one that answers.
            self._refreshed_s = self._clock.tick_s()
            await self._refresh()

    async def _refresh(self) -> None:
        now_ms = self._clock.now_ms()
        oldest_ms = now_ms - self._life_ms - OVERLAP_MS
        after = f"{max(oldest_ms, self._newest_ms - OVERLAP_MS, 0):013d}"
        learnt = False
        while rows := await self._documents.scan(COLLECTION, after=after, limit=PAGE):
            for doc_id, value in rows:
                at, _, subject = doc_id.partition("/")
                learnt |= self._learn(subject, int(value), Millis(int(at)))
            after = rows[-1][0]
            if len(rows) < PAGE:
                break
        self._read = True
        while self._known and next(iter(self._known.values()))[1] < oldest_ms:
            del self._known[next(iter(self._known))]
        if learnt:
            for watcher in self._watchers:
                watcher()
            await sweep(self._documents, before_ms=Millis(oldest_ms))

    def _learn(self, subject: str, epoch: int, at_ms: Millis) -> bool:
        known = self._known.get(subject)
        if known is not None and known[0] >= epoch and known[1] >= at_ms:
            return False
        self._newest_ms = max(self._newest_ms, at_ms)
        self._known.pop(subject, None)
        # An epoch never goes back, whatever order the news comes in.
        self._known[subject] = (max(epoch, known[0]) if known else epoch, at_ms)
        if len(self._known) > SUBJECTS_MAX:
            del self._known[next(iter(self._known))]
        return True

    def __len__(self) -> int:
        return len(self._known)


async def sweep(documents: Documents, *, before_ms: Millis) -> None:
    """Remove entries that no living token is older than, a bounded number of them."""
    rows = await documents.scan(COLLECTION, limit=SWEPT_AT_ONCE)
    old = [doc_id for doc_id, _ in rows if int(doc_id[:13]) < before_ms]
    if old:
        await documents.delete(COLLECTION, old)
