"""Laws of ranges: whatever is asked, what comes is that slice of the file."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from catalog.model import Codec
from kernel.ids import DeviceId, PlayId, SessionId, UserId
from kernel.units import Millis
from media.leases import LeaseClaims, sign
from serve.edge import Edge, create_edge_app
from serve.keys import KeyRing, Purpose
from serve.ranges import Part, Unsatisfiable, wanted_part
from serve.settings import Settings
from storage.blob_keys import CHUNK_BYTES
from storage.catalogue import Catalogue
from storage.stores import memory_stores
from tests.support.clock import FakeClock
from tests.support.tracks import TRACK_ID, a_rendition, a_track, put_track, some_bytes

LENGTHS = st.one_of(
    st.integers(1, 2_000),
    st.sampled_from([CHUNK_BYTES + d for d in (-1, 0, 1)]),
    st.integers(1, 3 * CHUNK_BYTES),
)


async def fetched(data: bytes, text: str) -> tuple[int, dict[bytes, bytes], bytes]:
    clock = FakeClock()
    stores = memory_stores(clock)
    track = await put_track(
        stores,
        Catalogue(stores.documents, clock),
        a_track(a_rendition(Codec.VORBIS, 96)),
        {"vorbis-96": data},
    )
    keys = await KeyRing.open(stores.documents, clock, Settings())
    edge: Edge = create_edge_app(stores, keys, clock, lease_s=120)
    token = sign(
        LeaseClaims(
            user_id=UserId("u"),
            device_id=DeviceId("d"),
            session_id=SessionId("s"),
            device_epoch=0,
            play_id=PlayId("p"),
            track_id=track.track_id,
            bitrate_kbps_max=96,
            expires_at_ms=Millis(clock.now_ms() + 1),
        ),
        keys.of(Purpose.LEASE),
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    path = f"/s/{token}/vorbis-96.ogg".encode()
    await edge(
        {"type": "http", "method": "GET", "raw_path": path, "headers": [(b"range", text.encode())]},
        receive,
        send,
    )
    assert not sent[-1].get("more_body")
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:])


@given(LENGTHS, st.data())
def test_a_range_is_the_slice_that_it_names(length: int, draw: st.DataObject) -> None:
    data = some_bytes(length)
    start = draw.draw(st.integers(0, length + 10))
    end = draw.draw(st.none() | st.integers(start, length + 1_000_000))
    status, headers, body = asyncio.run(fetched(data, f"bytes={start}-{'' if end is None else end}"))
    expected = data[start:] if end is None else data[start : end + 1]
    if start >= length:
        assert status == 416
        assert headers[b"content-range"] == f"bytes */{length}".encode()
    else:
        assert status == 206
        assert body == expected
        assert headers[b"content-range"] == f"bytes {start}-{start + len(expected) - 1}/{length}".encode()
        assert headers[b"content-length"] == str(len(expected)).encode()


@given(LENGTHS, st.integers(0, 1_000_000))
def test_a_suffix_is_the_end_of_the_file(length: int, count: int) -> None:
    data = some_bytes(length)
    status, _, body = asyncio.run(fetched(data, f"bytes=-{count}"))
    if count:
        assert (status, body) == (206, data[-count:])
    else:
        assert status == 416


@given(st.text(max_size=80) | st.from_regex(r"bytes=[0-9,\- ]{0,70}", fullmatch=True), st.integers(0, 10_000))
def test_no_header_selects_bytes_that_are_not_there(text: str, size: int) -> None:
    part = wanted_part(text, size)
    if isinstance(part, Part):
        assert 0 <= part.start < part.end <= size
    else:
        assert part is None or isinstance(part, Unsatisfiable)


def test_the_track_of_these_tests_is_the_one_they_lease() -> None:
    assert a_track().track_id == TRACK_ID
