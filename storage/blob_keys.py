"""What a blob may be called, and how it is read: the same for every blob store."""

import re

from kernel.errors import Code, Rejected

CHUNK_BYTES = 256 * 1024
"""Most that one step of `Blobs.read` yields."""
BLOB_KEY_CHARS_MAX = 200
"""Leaves room in a file name (255 bytes on the usual file systems)."""

# Each part begins with a letter or digit, so neither `..` nor a hidden file can be named.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def checked_blob_key(key: str) -> str:
    """`key`, when it may be one. Raises Rejected BAD_REQUEST."""
    if len(key) > BLOB_KEY_CHARS_MAX or not _KEY.fullmatch(key):
        raise Rejected(
            Code.BAD_REQUEST,
            f"blob key {key[:BLOB_KEY_CHARS_MAX]!r} rejected: it may be at most {BLOB_KEY_CHARS_MAX} letters"
            ", digits, '.', '_' and '-', in parts that begin with a letter or digit, with '/' between them",
        )
    return key
