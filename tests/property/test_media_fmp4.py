"""The reader of fragmented MP4 knows our files from all other bytes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Code, Rejected
from media.fmp4 import Layout, read_layout
from tests.support.sound import noise_and_tones, write_sound

FLAGS = "+empty_moov+default_base_moof+skip_trailer"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("fmp4") / "a.mp4"
    args = ("-c:a", "aac", "-b:a", "32k", "-movflags", FLAGS, "-frag_duration", "500000")
    return write_sound(path, noise_and_tones(2.0, rate=8000, channels=1), rate=8000, args=args).read_bytes()


def read_or_refuse(data: bytes) -> Layout | None:
    """The layout, or None when the bytes are refused as they should be."""
    layout, code = None, None
    try:
        layout = read_layout(data)
    except Rejected as refused:
        code = refused.code
    assert code in {None, Code.BAD_REQUEST}
    if layout is None:
        return None
    at, frame = layout.init_size, 0
    for segment in layout.segments:
        assert (segment.offset, segment.start_frame) == (at, frame)
        assert segment.frames > 0
        assert segment.size > 0
        at, frame = at + segment.size, frame + segment.frames
    assert at == len(data)
    return layout


def test_our_own_file_is_read(ours: bytes) -> None:
    layout = read_or_refuse(ours)
    assert layout
    assert layout.timescale == 8000
    assert len(layout.segments) >= 3
    assert layout.frames == pytest.approx(16_000 + 1024, abs=1024)


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_a_coded_refusal(data: bytes) -> None:
    assert read_or_refuse(data) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"ftyp", b"moov", b"moof", b"mdat", b"trak", b"mvex", b"traf", b"trun", b"tfhd"]
            ),
            st.integers(0, 2**32 - 1) | st.integers(0, 64),
            st.binary(max_size=60),
        ),
        max_size=8,
    )
)
def test_no_sequence_of_boxes_does_either(boxes: list[tuple[bytes, int, bytes]]) -> None:
    read_or_refuse(b"".join(size.to_bytes(4, "big") + kind + body for kind, size, body in boxes))


@given(st.data())
def test_every_truncation_that_is_not_between_fragments_is_refused(ours: bytes, data: st.DataObject) -> None:
    layout = read_layout(ours)
    cut = data.draw(st.integers(0, len(ours) - 1))
    whole = [segment.offset for segment in layout.segments]
    assert (read_or_refuse(ours[:cut]) is not None) == (cut in whole[1:])


@given(st.data())
def test_a_changed_byte_is_refused_or_leaves_a_sound_table(ours: bytes, data: st.DataObject) -> None:
    # The reader does not look into an mdat: only what stands before its body can matter.
    starts = [0, *(segment.offset for segment in read_layout(ours).segments)]
    start = data.draw(st.sampled_from(starts))
    at = data.draw(st.integers(start, ours.index(b"mdat", start) + 3))
    changed = bytearray(ours)
    changed[at] ^= data.draw(st.integers(1, 255))
    read_or_refuse(bytes(changed))


def test_a_file_from_the_disk_and_its_bytes_read_the_same(ours: bytes, tmp_path: Path) -> None:
    from mmap import ACCESS_READ, mmap

    (tmp_path / "a.mp4").write_bytes(ours)
    with (tmp_path / "a.mp4").open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
        assert read_layout(mapped) == read_layout(ours)
