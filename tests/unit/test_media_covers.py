"""Covers come out in three sizes, whatever went in, and bombs are refused before they are decoded."""

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from kernel.errors import Code, Rejected
from media.covers import PIXELS_MAX, beside, resized


def picture(width: int, height: int, *, kind: str = "PNG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert(mode).save(out, kind)
    return out.getvalue()


def test_a_large_cover_becomes_three_sizes_largest_first() -> None:
    images = resized(picture(1200, 1200))
    assert [(image.cover.width, image.cover.height) for image in images] == [(640, 640), (300, 300), (64, 64)]
    for image in images:
        decoded = Image.open(io.BytesIO(image.data))
        assert decoded.format == "JPEG"
        assert decoded.size == (image.cover.width, image.cover.height)


def test_a_small_cover_is_not_enlarged_and_a_wide_one_keeps_its_shape() -> None:
    assert [(i.cover.width, i.cover.height) for i in resized(picture(100, 50))] == [(100, 50), (64, 32)]


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
def test_every_kind_becomes_the_same_bytes_each_time(kind: str, mode: str) -> None:
    data = picture(400, 400, kind=kind, mode=mode)
    assert resized(data) == resized(data)
    assert all(image.cover.blob.startswith("art/") for image in resized(data))


def test_a_bomb_is_refused_by_its_header() -> None:
    side = int(PIXELS_MAX**0.5) + 1000
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(Rejected) as refused:
        resized(bomb + picture(8, 8)[33:])
    assert refused.value.code is Code.BAD_REQUEST
    assert f"{side}×{side}" in refused.value.message


@pytest.mark.parametrize("data", [b"", b"GIF89a", picture(50, 50)[:60], b"<svg/>", b"II*\0" + b"\xff" * 90])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected, match="not a readable picture"):
        resized(data)


def test_the_cover_beside_the_music_is_found_by_name_and_no_link_is_followed(tmp_path: Path) -> None:
    assert beside(tmp_path) is None
    (tmp_path / "holiday.jpg").write_bytes(b"no cover")
    (tmp_path / "Folder.PNG").write_bytes(b"second best")
    assert beside(tmp_path) == b"second best"
    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink(tmp_path / "secret", tmp_path / "cover.jpg")
    assert beside(tmp_path) == b"second best"
    (tmp_path / "cover.jpg").unlink()
    (tmp_path / "cover.jpg").write_bytes(b"best")
    assert beside(tmp_path) == b"best"
