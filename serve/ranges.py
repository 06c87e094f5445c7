"""Which bytes a GET asks for: conditions and one range, as RFC 9110 §13 and §14 have them.

Pure functions of header values. One range is honoured; several, or what is not a range, are answered with the
whole, which the RFC allows: one player asks for one range at a time, and many ranges in one request are how
servers were brought down.
"""

import re
from typing import NamedTuple

RANGE_CHARS_MAX = 64

_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE | re.ASCII)


class Part(NamedTuple):
    """Bytes `start` to `end`, exclusive."""

    start: int
    end: int


class Unsatisfiable(NamedTuple):
    """A range of which the file holds no byte: answered with 416."""


def wanted_part(value: str, size: int) -> Part | Unsatisfiable | None:
    """What the Range header `value` selects of `size` bytes; None when the header is to be ignored."""
    if len(value) > RANGE_CHARS_MAX or not (found := _RANGE.fullmatch(value)):
        return None
    first, last = found.groups()
    if not first:
        if not last:
            return None
        count = min(int(last), size)
        return Part(size - count, size) if count else Unsatisfiable()
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        return Unsatisfiable()
    return Part(int(first), min(int(last) + 1, size) if last else size)


def etag_listed(value: str, etag: str, *, weakly: bool) -> bool:
    """Whether `etag` (quoted, strong) is among those that If-Match or If-None-Match names.

    `weakly`: a weak one of the same text counts too, as it does for If-None-Match.
    """
    if value.strip() == "*":
        return True
    for listed in value.split(","):
        listed = listed.strip()
        if listed == etag or (weakly and listed == f"W/{etag}"):
            return True
    return False
