"""Cover art: found in the file or beside it, made into three sizes of JPEG.

Pictures are from strangers too: only four kinds are decoded, and the count of pixels in the header is checked
before the first one is.
"""

import io
import os
import stat
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from PIL import Image, ImageOps

from catalog.model import Cover
from kernel.errors import Code, Rejected
from media.tags import COVER_BYTES_MAX

SIZES_PX: Final = (640, 300, 64)
"""Longest side; a smaller picture is not enlarged."""
PIXELS_MAX: Final = 40_000_000
KINDS: Final = ("JPEG", "PNG", "WEBP", "GIF")
QUALITY: Final = 88
NAMES: Final = ("cover", "folder", "front", "album", "albumart")
"""Of a picture beside the music, best first; any case."""
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")
FOLDER_ENTRIES_MAX: Final = 10_000


class CoverImage(msgspec.Struct, frozen=True, kw_only=True):
    """One size, and its bytes."""

    cover: Cover
    data: bytes


def resized(picture: bytes) -> tuple[CoverImage, ...]:
    """The sizes of one picture, largest first. Raises Rejected BAD_REQUEST when it is no picture of ours.

    Equal input gives equal bytes. Fewer than three when the picture is smaller than the smaller sizes.
    """
    if len(picture) > COVER_BYTES_MAX:
        raise Rejected(Code.BAD_REQUEST, f"cover refused: {len(picture)} bytes, limit {COVER_BYTES_MAX}")
    try:
        with warnings.catch_warnings():
            # Pillow warns of bombs by its own, larger measure; ours decides.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(picture), formats=KINDS) as image:
                width, height = image.size
                if width * height > PIXELS_MAX:
                    reason = f"cover refused: {width}×{height} pixels, the limit is {PIXELS_MAX}"
                    raise Rejected(Code.BAD_REQUEST, reason)
                image.draft("RGB", (SIZES_PX[0], SIZES_PX[0]))
                whole = _flat(ImageOps.exif_transpose(image))
    except Rejected:
        raise
    # Pillow's decoders leak what their formats' parsers raise: SyntaxError, struct.error, OverflowError, …
    except Exception as error:
        raise Rejected(Code.BAD_REQUEST, f"cover refused: not a readable picture ({error})"[:300]) from error
    made: dict[tuple[int, int], CoverImage] = {}
    for side in SIZES_PX:
        smaller = whole.copy()
        smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
        if smaller.size not in made:
            made[smaller.size] = _jpeg(smaller)
    return tuple(made.values())


def _flat(image: Image.Image) -> Image.Image:
    """RGB, whatever was transparent on white."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    with_alpha = image.convert("RGBA")
    flat = Image.new("RGB", with_alpha.size, (255, 255, 255))
    flat.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return flat


def _jpeg(image: Image.Image) -> CoverImage:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, optimize=True)
    data = out.getvalue()
    cover = Cover(
        blob=f"art/{sha256(data).hexdigest()}", mime="image/jpeg", width=image.width, height=image.height
    )
    return CoverImage(cover=cover, data=data)


def beside(folder: Path) -> bytes | None:
    """The picture that lies beside the music; None when there is none that may be read."""
    try:
        with os.scandir(folder) as listing:
            names = [entry.name for _, entry in zip(range(FOLDER_ENTRIES_MAX), listing, strict=False)]
    except OSError:
        return None
    ranked = sorted(
        (NAMES.index(stem.lower()), name)
        for name in names
        for stem, suffix in [os.path.splitext(name)]
        if stem.lower() in NAMES and suffix.lower() in SUFFIXES
    )
    for _, name in ranked:
        path = folder / name
        try:
            facts = path.lstat()
            # No link is followed: it could name any picture on the machine.
            if stat.S_ISREG(facts.st_mode) and 0 < facts.st_size <= COVER_BYTES_MAX:
                return path.read_bytes()
        except OSError:
            continue
    return None
