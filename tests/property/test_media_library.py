"""Whatever happens to the files of a library, each track has one content and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from kernel.units import Millis
from media.library import (
    Names,
    Shelf,
    Source,
    catalogue_of,
    plan,
    with_bad_file,
    with_file_back,
    without_file,
)
from media.probe import Found

PATHS = ("a", "b", "c", "d")
CONTENTS = ("", "v", "w", "x", "y")
"""Empty: a file that cannot be decoded."""

libraries = st.lists(
    st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CONTENTS)), min_size=1, max_size=8
)


def take_in(shelf: Shelf, files: dict[str, str], now: int) -> int:
    """One run over `files` (path → content), as serve.ingest does it; how many files were read."""
    # All contents have one size, so that nothing is told apart by luck; each has a time of its own.
    walked = [Found(rel=rel, size=10, mtime_ns=CONTENTS.index(files[rel])) for rel in sorted(files)]
    planned = plan(walked, shelf.sources)
    for source in planned.gone:
        shelf.put(without_file(source))
    for source in planned.back:
        shelf.put(with_file_back(source))
    for take in planned.take:
        rel, content = take.found.rel, files[take.found.rel]
        before = shelf.sources.get(rel)
        if not content:
            shelf.put(with_bad_file(take.found, before, "not audio"))
            continue
        shelf.put(
            Source(
                rel=rel,
                size=10,
                mtime_ns=take.found.mtime_ns,
                sha256=content,
                track_id=shelf.identify(rel, content),
                names=Names(title=content, artists=("A",), album="B"),
                added_at_ms=Millis(now),
            )
        )
    return len(planned.take)


@given(libraries)
def test_a_library_that_changes_in_any_way_keeps_its_laws(states: list[dict[str, str]]) -> None:
    shelf = Shelf(())
    ever: set[str] = set()
    for now, files in enumerate(states):
        held = {rel: source.track_id for rel, source in shelf.sources.items() if source.present}
        contents = {rel: source.sha256 for rel, source in shelf.sources.items() if source.present}
        take_in(shelf, files, now)
        sources = shelf.sources
        # What is there is shown as it is there, and nothing else is available.
        good = {rel: content for rel, content in files.items() if content}
        assert {rel: source.sha256 for rel, source in sources.items() if source.present} == good
        made = catalogue_of(sources.values())
        available = {track_id for track_id, track in made.tracks.items() if track.available}
        assert available == {source.track_id for source in sources.values() if source.present}
        # One track, one content: also among the paths that are gone.
        for track_id in made.tracks:
            assert len({s.sha256 for s in sources.values() if s.track_id == track_id}) == 1
        # A file that nobody touched is the track that it was.
        for rel, before_id in held.items():
            if files.get(rel) == contents[rel]:
                assert sources[rel].track_id == before_id
        # Tracks are never deleted while a path remembers them; albums and artists follow.
        assert {t for a in made.albums.values() for t in a.track_ids} == set(made.tracks)
        ever |= set(made.tracks)
        # A second look changes nothing and reads nothing.
        before = dict(sources)
        assert take_in(shelf, files, now) == 0
        assert shelf.sources == before
    assert len(ever) <= len(states) * len(PATHS)


@given(st.sampled_from(CONTENTS[1:]), st.sampled_from(CONTENTS[1:]))
def test_a_file_that_changes_alone_is_always_the_same_track(first: str, second: str) -> None:
    shelf = Shelf(())
    take_in(shelf, {"a": first}, 0)
    track_id = shelf.sources["a"].track_id
    for files in ({"a": second}, {}, {"a": first}, {"a": ""}, {"a": second}):
        take_in(shelf, files, 1)
    assert shelf.sources["a"].track_id == track_id
