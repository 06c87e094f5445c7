"""The order of a context: natural, or a seeded permutation that can be taken back.

An item's rank is a hash of (seed, iteration, key). Nothing else enters, hence: the same seed gives the same
order, an insert or a removal leaves the order of all others as it was, a lost item's place can still be
found, and turning shuffle off is not looking at ranks. Each iteration of a repeated context has an order of
its own.
"""

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from xxhash import xxh64_intdigest

from sessions.inputs import ContextItem
from sessions.state import Cursor, Shuffle

MEMO_MAX = 64
"""Permutations kept. One of a list of 10,000 takes 80 kB and about 10 ms to make again."""


class Permutation(NamedTuple):
    items: tuple[ContextItem, ...]
    """Held so that its identity, the memo's key, cannot pass to another list."""
    order: Sequence[int]
    """Place to natural index."""
    places: Sequence[int]
    """Natural index to place."""


_memo: OrderedDict[tuple[int, Shuffle, int], Permutation] = OrderedDict()
"""Pure all the same: what it holds depends on its key alone."""


def permutation(items: tuple[ContextItem, ...], shuffle: Shuffle | None, iteration: int) -> Permutation:
    if shuffle is None:
        natural = range(len(items))
        return Permutation(items, natural, natural)
    memo_key = (id(items), shuffle, iteration)
    known = _memo.get(memo_key)
    if known is not None:
        _memo.move_to_end(memo_key)
        return known
    made = _made(items, shuffle, iteration)
    _memo[memo_key] = made
    if len(_memo) > MEMO_MAX:
        _memo.popitem(last=False)
    return made


def _made(items: tuple[ContextItem, ...], shuffle: Shuffle, iteration: int) -> Permutation:
    ranks = [rank(item.key, shuffle, iteration) for item in items]
    # Equal hashes keep their natural order: the sort is stable.
    order = array("I", sorted(range(len(items)), key=ranks.__getitem__))
    places = array("I", bytes(order.itemsize * len(items)))
    for place, index in enumerate(order):
        places[index] = place
    return Permutation(items, order, places)


def rank(key: str, shuffle: Shuffle, iteration: int) -> int:
    """Items play in ascending rank."""
    if iteration == shuffle.pin_iteration and key == shuffle.pin:
        return -1
    return xxh64_intdigest(f"{iteration}\x1f{key}".encode("utf-8", "surrogatepass"), shuffle.seed)


def index_of(items: tuple[ContextItem, ...], cursor: Cursor) -> int | None:
    """Natural index of the cursor's item; None when this revision does not have it."""
    if cursor.index < len(items) and items[cursor.index].key == cursor.key:
        return cursor.index
    for index, item in enumerate(items):
        if item.key == cursor.key:
            return index
    return None


def place_after(items: tuple[ContextItem, ...], shuffle: Shuffle | None, cursor: Cursor) -> int:
    """The place that follows the cursor's in its iteration; the number of items when there is none."""
    index = index_of(items, cursor)
    if index is not None:
        return permutation(items, shuffle, cursor.iteration).places[index] + 1
    if shuffle is None:
        return min(cursor.index, len(items))
    gone = rank(cursor.key, shuffle, cursor.iteration)
    return sum(rank(item.key, shuffle, cursor.iteration) < gone for item in items)


def place_of_or_after(items: tuple[ContextItem, ...], shuffle: Shuffle | None, cursor: Cursor) -> int:
    """The cursor's place, or where it would be: everything before it has a smaller place."""
    after = place_after(items, shuffle, cursor)
    return after if index_of(items, cursor) is None else after - 1
