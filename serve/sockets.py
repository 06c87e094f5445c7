"""The websocket server of a host: bytes in and out of `EntityHost`, and nothing about what they mean.

The same port answers three plain requests: `/healthz/live` while the host's loop turns, `/healthz` while it
also owns something and has room, and `/metrics`.

Compression is off: it costs 30 KiB a connection and invites bombs. So are the pings of the websocket layer,
a task for each connection: the devices' own are what presence goes by, and who is silent is sent away.
"""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus

import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Origin, Subprotocol

from actors.host import PEERS_MAX, EntityHost
from connect.codec import ENCODINGS, negotiate
from connect.frames import FRAME_BYTES_MAX
from kernel.errors import Code, SegueError
from serve.host_metrics import SocketMetrics

HANDSHAKE_S = 10.0
MESSAGES_WAITING_MAX = 16
"""Messages read ahead of the host per connection; beyond it the network waits."""
WRITE_HIGH_BYTES = 64 * 1024

log = structlog.get_logger()


class SocketTransport:
    """`actors.peer.Transport` over one websocket."""

    __slots__ = ("_closing", "_connection")

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._closing: object = None

    def send(self, data: bytes, *, text: bool) -> None:
        # `broadcast` writes at once and never waits; who does not read is the outbox's business.
        broadcast((self._connection,), data, text=text)

    def buffered(self) -> int:
        return self._connection.transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        self._closing = self._connection.loop.create_task(self._connection.close(code, reason))


async def serve_sockets(
    host: EntityHost,
    *,
    bind_host: str,
    port: int,
    allowed_origins: Sequence[str],
    metrics: Callable[[], bytes] = bytes,
) -> Server:
    """Listen until the returned server is closed; `metrics` is what `GET /metrics` tells of the host.

    Raises OSError when the port is taken.
    """
    counted = SocketMetrics()

    async def handle(connection: ServerConnection) -> None:
        encoding = ENCODINGS[str(connection.subprotocol)]
        # Some 3 KiB that nobody reads again.
        for handshake in (connection.request, connection.response):
            if handshake is not None:
                handshake.headers.clear()
        peer = host.connected(SocketTransport(connection), encoding)
        counted.opened()
        time_s = connection.loop.time
        try:
            async for message in connection:
                began_s = time_s()
                rest = host.receive(peer, message)
                counted.received(time_s() - began_s)
                if rest is not None:
                    await rest
        except ConnectionClosed:
            # Without a goodbye: the device set gives it its grace.
            return
        except Exception:
            log.exception("connection_failed", host_id=host.host_id, user_id=peer.user_id)
            peer.close(SegueError(Code.INTERNAL, "a fault of the server"))
            await connection.wait_closed()
        finally:
            host.disconnected(peer)
            counted.closed(connection.close_code)

    def select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        found = negotiate(tuple(offered))
        return Subprotocol(found[0]) if found else None

    def answer_plain(connection: ServerConnection, request: Request) -> Response | None:
        match request.path:
            case "/healthz/live":
                return connection.respond(HTTPStatus.OK, "live\n")
            case "/healthz":
                held = host.statistics()
                if held["shards"] and held["peers"] < PEERS_MAX:
                    return connection.respond(HTTPStatus.OK, "ready\n")
                why = "full" if held["shards"] else "owns no shard"
                return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {why}\n")
            case "/metrics":
                response = connection.respond(HTTPStatus.OK, (metrics() + counted.text()).decode())
                del response.headers["content-type"]
                response.headers["content-type"] = CONTENT_TYPE_LATEST
                return response
            case _:
                return None

    def refuse_without_subprotocol(
        connection: ServerConnection, request: Request, response: Response
    ) -> Response | None:
        # An answer that refuses already (a foreign origin) says why better than this would.
        if connection.subprotocol is not None or response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return None
        return connection.respond(
            HTTPStatus.BAD_REQUEST, f"this socket speaks {', '.join(ENCODINGS)}; offer one of them\n"
        )

    return await serve(
        handle,
        bind_host,
        port,
        subprotocols=[Subprotocol(name) for name in ENCODINGS],
        select_subprotocol=select,
        process_request=answer_plain,
        process_response=refuse_without_subprotocol,
        origins=[*map(Origin, allowed_origins), None],
        compression=None,
        max_size=FRAME_BYTES_MAX,
        max_queue=MESSAGES_WAITING_MAX,
        write_limit=WRITE_HIGH_BYTES,
        open_timeout=HANDSHAKE_S,
        ping_interval=None,
        close_timeout=5.0,
        server_header=None,
        logger=_quiet(),
    )


def _quiet() -> logging.Logger:
    """Strangers can cause a traceback a message in the library's own log; ours has one line a connection."""
    logger = logging.getLogger("segue.websockets")
    logger.setLevel(logging.CRITICAL)
    return logger
