"""How one part reaches an entity without knowing where it lives."""

from typing import Protocol

from connect.frames import CommandFrame, Reply, Snapshot
from kernel.ids import DeviceId, UserId


class HostRef(Protocol):
    """A host, near or far. Every call has a deadline of its own."""

    async def command(self, user_id: UserId, frame: CommandFrame, device_id: DeviceId | None) -> Reply:
        """Hand one command to the user's session or devices.

        `device_id` is where a play without an active device may sound. A refusal is a reply; raises
        Unavailable NOT_OWNER, BUSY or TIMEOUT when it was not taken or its outcome is unknown.
        """
        ...

    async def look(self, user_id: UserId) -> Snapshot:
        """The user's session and devices now. Raises Unavailable as above."""
        ...

    async def reread(self, user_id: UserId) -> Snapshot:
        """The same, once the session has read anew what the user wishes (`storage/preferences.py`)."""
        ...
