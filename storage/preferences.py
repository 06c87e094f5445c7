"""What a listener wishes of every device alike, as it is stored. It belongs to the account.

explicit_filters   <user>   nothing; there while explicit pieces are not to be played
"""

from kernel.ids import UserId
from storage.ports import Documents


class Preferences:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def explicit_filter(self, user_id: UserId) -> bool:
        [found] = await self._documents.get("explicit_filters", [user_id])
        return found is not None

    async def set_explicit_filter(self, user_id: UserId, *, enabled: bool) -> None:
        """Durable when it returns. The last writer wins."""
        if enabled:
            await self._documents.put("explicit_filters", [(user_id, b"")])
        else:
            await self._documents.delete("explicit_filters", [user_id])
