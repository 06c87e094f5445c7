"""Updates with broken insides and a good checksum, against the gate: `python -m tests.fuzz_playlists 50000`.

Prints one line of figures, and exits with 1 when the document changed by what it refused, differs from what
was committed, or does not take an honest edit any more. A process of its own: a crash must be seen as one.
"""

import sys
from random import Random
from time import perf_counter

from kernel.errors import Rejected
from playlists.access import Role
from playlists.contents import Contents, digest
from playlists.live import LivePlaylist
from playlists.loro_doc import Replica
from tests.support.playlist_peers import NOW_MS, Editor, push, seeded, track, values_of, with_checksum
from tests.support.playlist_screener import Screener

ITEMS = 60
ROUND = 400
"""Inputs against one document, before a new one."""


def honest_updates(live: LivePlaylist, rng: Random) -> tuple[Editor, list[bytes]]:
    """Updates of every kind, each the next of its peer's line: what the mutations start from."""
    found = []
    editor = Editor("eve", rng, role=Role.OWNER)

    def fresh() -> None:
        editor.restart(live, editor.lease)

    fresh()
    found.append(editor.add(5))
    fresh()
    found.append(editor.move(3, 40))
    fresh()
    found.append(editor.remove(7))
    fresh()
    found.append(editor.edit(lambda doc: doc.get_movable_list("items").delete(9, 6)))
    fresh()
    first = values_of(editor.doc)[0]
    found.append(
        editor.edit(lambda doc: doc.get_movable_list("items").set(0, {**first, "t": track(777_777)}))
    )
    fresh()
    found.append(editor.put("votes", f"{first['i']}|eve", 1))
    fresh()
    found.append(editor.put("meta", "name", "a name"))
    fresh()
    for _ in range(4):
        editor.add(2)
        editor.move(2, 9)
    editor.sent = editor.sent.decode(live.main.vv())
    found.append(editor.export())
    return editor, found


def mutated(update: bytes, rng: Random) -> bytes:
    data = bytearray(update)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(20, len(data))
        match rng.randrange(6):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 3:
                del data[at : at + rng.randrange(1, 4)]
            case 4:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 4)))
            case _:
                other = rng.randrange(20, len(data))
                data[at : at + 8] = data[other : other + 8]
        if len(data) < 24:
            break
    return with_checksum(bytes(data))


def main(count: int, seed: int = 1) -> int:
    rng = Random(seed)
    passed = refused = known = unreadable = 0
    screener = Screener()
    slowest_s = 0.0
    live = LivePlaylist.created(rng=rng)
    editor: Editor | None = None
    bases: list[bytes] = []
    for number in range(count):
        if number % ROUND == 0:
            live = seeded(ITEMS, rng)
            editor, bases = honest_updates(live, rng)
        assert editor is not None
        update = mutated(rng.choice(bases), rng)
        if not screener.is_readable(update):
            unreadable += 1
            continue
        before, seq = live.main.vv(), live.seq
        started = perf_counter()
        try:
            record = live.stage((update,), editor.author, editor.lease, now_ms=NOW_MS)
        except Rejected:
            refused += 1
        else:
            if record is None:
                known += 1
            else:
                # Within the rules: staged and given up, so that the next one starts from the same list.
                passed += 1
                live.abandon()
        slowest_s = max(slowest_s, perf_counter() - started)
        if live.main.vv() != before or live.seq != seq:
            print(f"input {number}: the document changed by what was not committed")
            return 1
        if number % ROUND > ROUND - 9 and (wrong := still_good(live, rng)):
            print(f"input {number}: {wrong}")
            return 1
    screener.close()
    if wrong := still_good(live, rng):
        print(wrong)
        return 1
    print(
        f"inputs {count} unreadable {unreadable} died {screener.deaths} refused {refused} passed {passed} "
        f"known {known} slowest_ms {slowest_s * 1000:.0f}"
    )
    return 0


def still_good(live: LivePlaylist, rng: Random) -> str | None:
    """What is wrong with the document; it takes an honest edit to find out."""
    shown = live.digest()
    if digest(Contents.read(Replica.opened(live.main.snapshot()))) != shown:
        return "the document and its snapshot differ"
    honest = Editor("bob", rng)
    honest.restart(live, honest.lease)
    if push(live, honest, honest.add()) is None or live.digest() == shown:
        return "an honest edit is not taken any more"
    return None


if __name__ == "__main__":
    sys.exit(
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    )
