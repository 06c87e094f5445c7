"""The parameters that many operations share, each with its bounds, words and an example."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from catalog.markets import MARKETS
from kernel.ids import catalogue_id
from serve.rest.exchange import OFFSET_MAX, PAGE_LIMIT_MAX

ALBUM_IDS_MAX = 20
_ID: dict[str, Any] = {"x-words": "22 letters and digits"}
_PATTERN = "^[0-9A-Za-z]+$"
_EXAMPLE = catalogue_id("album", "studies")

Id = Annotated[
    str,
    Meta(
        pattern=_PATTERN,
        min_length=22,
        max_length=22,
        description="The id of one thing: the last part of its URI.",
        examples=[_EXAMPLE],
        extra_json_schema=_ID,
    ),
]
_EachId = Annotated[str, Meta(pattern=_PATTERN, min_length=22, max_length=22, extra_json_schema=_ID)]
Ids = Annotated[
    tuple[_EachId, ...],
    Meta(
        min_length=1,
        max_length=PAGE_LIMIT_MAX,
        description=f"Ids separated by commas, at most {PAGE_LIMIT_MAX}.",
        examples=[[_EXAMPLE]],
    ),
]
FewIds = Annotated[
    tuple[_EachId, ...],
    Meta(
        min_length=1,
        max_length=ALBUM_IDS_MAX,
        description=f"Ids separated by commas, at most {ALBUM_IDS_MAX}.",
        examples=[[_EXAMPLE]],
    ),
]
Market = Annotated[
    str,
    Meta(
        description="A country code (ISO 3166-1). The answer is for the account's own country all the same.",
        examples=["NL"],
        extra_json_schema={"enum": [*sorted(MARKETS), "from_token"]},
    ),
]
Limit = Annotated[
    int,
    Meta(ge=1, le=PAGE_LIMIT_MAX, description="How many items a page holds at most.", examples=[20]),
]
Offset = Annotated[
    int, Meta(ge=0, le=OFFSET_MAX, description="How many items stand before the page.", examples=[0])
]
Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1_000,
        description="Where to go on: the `cursors.after` of the page before. To be given back, not read.",
    ),
]


class InMarket(msgspec.Struct, frozen=True, kw_only=True):
    market: Market | None = None


class One(InMarket, frozen=True, kw_only=True):
    id: Id


class Several(InMarket, frozen=True, kw_only=True):
    ids: Ids


class SeveralFew(InMarket, frozen=True, kw_only=True):
    ids: FewIds


class Paged(InMarket, frozen=True, kw_only=True):
    offset: Offset = 0
    limit: Limit = 20


class OnePaged(Paged, frozen=True, kw_only=True):
    id: Id
