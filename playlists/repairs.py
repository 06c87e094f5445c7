"""What the server adds to an update so that the list keeps its rules after the merge.

Two authors may each do what is allowed and together break a rule: one moves what the other removes, both add
the same track. The repair is an update of the server's own, in the same record and frame as the one it mends.
"""

from collections.abc import Iterable

from kernel.ids import Uri
from kernel.units import Millis
from playlists.gate import Admitted, Draft
from playlists.items import Dups, Item, ItemId, Wins
from playlists.loro_doc import Peer, Writer


def repair(draft: Draft, admitted: Admitted, peer: Peer, *, now_ms: Millis) -> bytes:
    """The repairing update, already in the draft; b"" when nothing breaks a rule. Raises Broken."""
    contents = draft.contents
    policy = contents.meta().policy
    wrong: set[int] = set()
    if admitted.returned:
        places = {item_id: index for index, item_id in enumerate(contents.order)}
        if policy.wins is Wins.REMOVE:
            wrong.update(places[item_id] for item_id in admitted.returned if item_id in places)
    if len(contents.order) != len(contents.items):
        wrong.update(_again(contents.order))
    if admitted.grew and policy.dups is Dups.REFUSE:
        wrong.update(_doubles(contents.order, contents.items))
    return remove_places(draft, wrong, peer, now_ms=now_ms) if wrong else b""


def remove_places(draft: Draft, places: Iterable[int], peer: Peer, *, now_ms: Millis) -> bytes:
    """The update that deletes these places, made in the draft."""
    contents = draft.contents
    falling = sorted(places, reverse=True)

    def edit(writer: Writer) -> None:
        for index in falling:
            writer.delete(index)

    update = draft.replica.write(peer, edit, message=own_message(draft, peer), now_ms=now_ms)
    removed = [contents.order.pop(index) for index in falling]
    left = set(contents.order)
    for item_id in removed:
        if item_id not in left and item_id in contents.items:
            draft.retire(contents.items.pop(item_id))
    return update


def own_message(draft: Draft, peer: Peer) -> str:
    """Different for each change of the server's peer, see `Replica.write`."""
    return f"s{draft.replica.counter(peer)}"


def _again(order: list[ItemId]) -> list[int]:
    seen: set[ItemId] = set()
    again = []
    for index, item_id in enumerate(order):
        if item_id in seen:
            again.append(index)
        seen.add(item_id)
    return again


def _doubles(order: list[ItemId], items: dict[ItemId, Item]) -> list[int]:
    """Places of items whose track stands elsewhere with an earlier (time, id)."""
    first: dict[Uri, Item] = {}
    for item in items.values():
        known = first.setdefault(item.uri, item)
        if (item.added_at_ms, item.item_id) < (known.added_at_ms, known.item_id):
            first[item.uri] = item
    return [index for index, item_id in enumerate(order) if first[items[item_id].uri].item_id != item_id]
