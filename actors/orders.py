"""What operators asked of the hosts, as documents that every host reads once a second."""

from actors.placement import Orders
from kernel.ids import HostId
from storage.ports import Documents

COLLECTION = "orders"
DRAIN, PIN, RESTART = "drain/", "pin/", "restart/"
ORDERS_MAX = 5_000
"""More than there are shards to pin and hosts to drain."""


async def read_orders(documents: Documents) -> Orders:
    """Raises Unavailable."""
    rows = await documents.scan(COLLECTION, limit=ORDERS_MAX)
    return Orders(
        drained=frozenset(HostId(name.removeprefix(DRAIN)) for name, _ in rows if name.startswith(DRAIN)),
        pins={
            int(name.removeprefix(PIN)): HostId(value.decode())
            for name, value in rows
            if name.startswith(PIN)
        },
        restarts={
            HostId(name.removeprefix(RESTART)): int(value) for name, value in rows if name.startswith(RESTART)
        },
    )


async def drain(documents: Documents, host_id: HostId) -> None:
    await documents.put(COLLECTION, [(DRAIN + host_id, b"")])


async def undrain(documents: Documents, host_id: HostId) -> None:
    await documents.delete(COLLECTION, [DRAIN + host_id])


async def pin(documents: Documents, shard: int, host_id: HostId) -> None:
    await documents.put(COLLECTION, [(f"{PIN}{shard}", host_id.encode())])


async def unpin(documents: Documents, shard: int) -> None:
    await documents.delete(COLLECTION, [f"{PIN}{shard}"])


async def restart(documents: Documents, host_id: HostId, incarnation: int) -> None:
    """End that life of the host; whoever keeps it running starts the next."""
    await documents.put(COLLECTION, [(RESTART + host_id, str(incarnation).encode())])


async def unrestart(documents: Documents, host_id: HostId) -> None:
    await documents.delete(COLLECTION, [RESTART + host_id])
