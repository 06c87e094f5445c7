"""Short-lived values in Redis, fenced by epoch in a script. Redis may forget all of it; the port allows that.

    {segue}:value:<key>       hash: epoch, value, the wall clock's time at which it expires
    {segue}:cursor            number of the last change
    {segue}:groups            names of groups; a key's group is what stands before its first `/`
    {segue}:changed:<group>   sorted set of keys by the number of their last change
    {segue}:expires:<group>   sorted set of the same keys by the time at which they expire

Groups keep a poller of one kind of key from wading through the changes of all others. Scripts run alone, so
changes become visible in the order of their numbers. The braces put everything in one slot of a cluster.
Expiry is judged on the callers' clock, as in the other stores; Redis's own only takes the rubbish out.
"""

from collections.abc import Awaitable
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kernel.errors import Code, Rejected
from kernel.units import Clock, Millis
from storage.faults import Calls
from storage.memory import CHANGED_MAX

CONNECTIONS_MAX = 32
WAIT_FOR_CONNECTION_S = 2.0
CONNECT_S = 2.0
ANSWER_S = 5.0
KEPT_AFTER_EXPIRY_MS = 60_000
"""Redis may drop a value so long after it expired: room for clocks that differ."""
SWEPT_AT_ONCE = 16
"""Expired keys that one put takes out of its group: more than it adds, so they do not pile up."""
LOOKED_AT_MAX = 1_000
"""Rows that one script looks at: some milliseconds, in which Redis serves nobody else."""

PREFIX = "{segue}:"

# ARGV: prefix, key, group, epoch, value, now_ms, ttl_ms, kept_after_expiry_ms, swept_at_once
_PUT = """
local prefix, key, group = ARGV[1], ARGV[2], ARGV[3]
local epoch, now, ttl = tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
local name = prefix .. 'value:' .. key
local found = redis.call('HMGET', name, 'epoch', 'expires')
if found[1] and tonumber(found[1]) > epoch and tonumber(found[2]) > now then return 0 end
local changed, expires = prefix .. 'changed:' .. group, prefix .. 'expires:' .. group
for _, old in ipairs(redis.call('ZRANGEBYSCORE', expires, '-inf', now, 'LIMIT', 0, tonumber(ARGV[9]))) do
    redis.call('ZREM', expires, old)
    redis.call('ZREM', changed, old)
end
-- Time is mixed in so that the cursor still grows when Redis forgot everything and began again at zero.
local change = math.max(tonumber(redis.call('GET', prefix .. 'cursor') or 0) + 1, now * 1024)
local text = string.format('%.0f', change)
redis.call('SET', prefix .. 'cursor', text)
redis.call('SADD', prefix .. 'groups', group)
redis.call('HSET', name, 'epoch', ARGV[4], 'value', ARGV[5], 'expires', string.format('%.0f', now + ttl))
redis.call('PEXPIRE', name, ttl + tonumber(ARGV[8]))
redis.call('ZADD', changed, text, key)
redis.call('ZADD', expires, string.format('%.0f', now + ttl), key)
return 1
"""

# ARGV: prefix, the group or '' for all, the keys' prefix, since, now_ms, looked_at_max
# Gives: the cursor, whether that is all, then key, epoch, value of each.
_CHANGED = """
local prefix, wanted, since, now = ARGV[1], ARGV[3], ARGV[4], tonumber(ARGV[5])
local max = tonumber(ARGV[6])
local groups = {ARGV[2]}
if ARGV[2] == '' then groups = redis.call('SMEMBERS', prefix .. 'groups') end
local rows = {}
for _, group in ipairs(groups) do
    local found = redis.call(
        'ZRANGEBYSCORE', prefix .. 'changed:' .. group, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, max)
    for place = 1, #found, 2 do rows[#rows + 1] = {found[place], tonumber(found[place + 1])} end
end
table.sort(rows, function(a, b) return a[2] < b[2] end)
local cursor, all = redis.call('GET', prefix .. 'cursor') or '0', 1
if #rows >= max then
    cursor, all = string.format('%.0f', rows[max][2]), 0
end
local answer = {cursor, all}
for place = 1, math.min(#rows, max) do
    local key = rows[place][1]
    if string.sub(key, 1, #wanted) == wanted then
        local found = redis.call('HMGET', prefix .. 'value:' .. key, 'epoch', 'value', 'expires')
        if found[1] and tonumber(found[3]) > now then
            answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = key, found[1], found[2]
        end
    end
end
return answer
"""


class RedisVolatile:
    def __init__(self, url: str, clock: Clock, *, prefix: str = PREFIX) -> None:
        """Connects to nothing yet. Raises Rejected BAD_REQUEST when the URL cannot be one."""
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS_MAX,
                timeout=WAIT_FOR_CONNECTION_S,
                socket_connect_timeout=CONNECT_S,
                socket_timeout=ANSWER_S,
                # Once more: a server that was restarted has closed the connections of the pool.
                retry=Retry(NoBackoff(), 1),
                retry_on_error=[RedisConnectionError, RedisTimeoutError],
            )
        except ValueError as fault:
            # Not the URL: it may hold a password.
            raise Rejected(Code.BAD_REQUEST, f"Redis's URL rejected: {fault}") from None
        self._redis = Redis.from_pool(pool)
        self._clock = clock
        self._prefix = prefix
        self._put = self._redis.register_script(_PUT)
        self._changed = self._redis.register_script(_CHANGED)
        self._calls = Calls("Redis", RedisError, OSError)

    async def put(self, key: str, value: bytes, *, epoch: int, ttl_ms: Millis) -> bool:
        arguments: list[str | bytes | int] = [
            *(self._prefix, key, _group(key), epoch, value, self._clock.now_ms(), ttl_ms),
            *(KEPT_AFTER_EXPIRY_MS, SWEPT_AT_ONCE),
        ]
        with self._calls("put"):
            return bool(await self._put(args=arguments))

    async def get(self, key: str) -> tuple[int, bytes] | None:
        with self._calls("get"):
            answer = self._redis.hmget(f"{self._prefix}value:{key}", ["epoch", "value", "expires"])
            # Its type covers the client that does not wait, too.
            epoch, value, expires = await cast(Awaitable[list[bytes | None]], answer)
        if epoch is None or value is None or expires is None or int(expires) <= self._clock.now_ms():
            return None
        return int(epoch), value

    async def changed(self, prefix: str, *, since: int) -> tuple[int, list[tuple[str, int, bytes]]]:
        # Without a `/`, keys of several groups may begin with it.
        group = _group(prefix) if "/" in prefix else ""
        cursor = since
        found: list[tuple[str, int, bytes]] = []
        while True:
            arguments: list[str | int] = [
                self._prefix,
                group,
                prefix,
                cursor,
                self._clock.now_ms(),
                LOOKED_AT_MAX,
            ]
            with self._calls("changed"):
                answer: list[Any] = await self._changed(args=arguments)
            cursor = max(cursor, int(answer[0]))
            rows = iter(answer[2:])
            found += [
                (key.decode(), int(epoch), value) for key, epoch, value in zip(rows, rows, rows, strict=True)
            ]
            if answer[1] or len(found) > CHANGED_MAX - LOOKED_AT_MAX:
                return cursor, found

    async def prepare(self) -> None:
        """Raises Unavailable when Redis cannot be reached."""
        with self._calls("opening"):
            await self._redis.ping()

    async def close(self) -> None:
        """Idempotent."""
        with self._calls("closing"):
            await self._redis.aclose()


def _group(key: str) -> str:
    return key.partition("/")[0] if "/" in key else "-"
