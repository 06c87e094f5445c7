"""What may be played, and in which quality."""

import pytest

from catalog.entitlement import allowed_renditions, choose_rendition
from catalog.model import Codec, Plan
from kernel.errors import Code, Rejected
from tests.support.tracks import LADDER, a_rendition, a_track

ANY_KBPS = 10_000


@pytest.mark.parametrize(
    ("plan", "codecs", "wish", "throughput", "expected"),
    [
        (Plan.PREMIUM, (Codec.AAC, Codec.VORBIS), ANY_KBPS, None, "aac-256"),
        (Plan.PREMIUM, (Codec.VORBIS, Codec.AAC), ANY_KBPS, None, "vorbis-320"),
        (Plan.FAMILY, (Codec.VORBIS,), ANY_KBPS, None, "vorbis-320"),
        (Plan.DUO, (Codec.VORBIS,), ANY_KBPS, None, "vorbis-320"),
        (Plan.STUDENT, (Codec.VORBIS,), ANY_KBPS, None, "vorbis-320"),
        (Plan.FREE, (Codec.AAC,), ANY_KBPS, None, "aac-160"),
        (Plan.FREE, (Codec.VORBIS,), ANY_KBPS, 10_000, "vorbis-160"),
        (Plan.PREMIUM, (Codec.AAC,), 200, None, "aac-160"),
        (Plan.PREMIUM, (Codec.AAC,), 160, None, "aac-160"),
        (Plan.PREMIUM, (Codec.AAC,), 159, None, "aac-96"),
        (Plan.PREMIUM, (Codec.AAC,), 16, None, "aac-96"),
        (Plan.PREMIUM, (Codec.AAC,), ANY_KBPS, 366, "aac-256"),  # 0.7 of 366 is 256.2
        (Plan.PREMIUM, (Codec.AAC,), ANY_KBPS, 365, "aac-160"),  # 0.7 of 365 is 255.5
        (Plan.PREMIUM, (Codec.AAC,), ANY_KBPS, 228, "aac-96"),
        (Plan.PREMIUM, (Codec.AAC,), ANY_KBPS, 0, "aac-96"),
    ],
)
def test_the_best_rendition_within_plan_wish_and_throughput_is_chosen(
    plan: Plan, codecs: tuple[Codec, ...], wish: int, throughput: int | None, expected: str
) -> None:
    chosen = choose_rendition(
        a_track(*LADDER), plan=plan, codecs=codecs, bitrate_kbps_max=wish, throughput_kbps=throughput
    )
    assert chosen.name == expected


def test_a_codec_that_the_plan_leaves_nothing_of_gives_way_to_the_next() -> None:
    track = a_track(a_rendition(Codec.AAC, 256), a_rendition(Codec.VORBIS, 96))
    chosen = choose_rendition(
        track,
        plan=Plan.FREE,
        codecs=(Codec.AAC, Codec.VORBIS),
        bitrate_kbps_max=ANY_KBPS,
        throughput_kbps=None,
    )
    assert chosen.name == "vorbis-96"


@pytest.mark.parametrize(
    ("track", "codecs", "plan", "reason"),
    [
        (a_track(*LADDER, available=False), (Codec.AAC,), Plan.PREMIUM, "unavailable"),
        (a_track(), (Codec.AAC,), Plan.PREMIUM, "unavailable"),
        (a_track(a_rendition(Codec.VORBIS, 96)), (Codec.AAC,), Plan.PREMIUM, "no_common_codec"),
        (a_track(*LADDER), (), Plan.PREMIUM, "no_common_codec"),
        (a_track(a_rendition(Codec.AAC, 256)), (Codec.AAC,), Plan.FREE, "plan"),
        (a_track(a_rendition(Codec.AAC, 1000)), (Codec.AAC,), Plan.PREMIUM, "plan"),
    ],
)
def test_what_may_not_be_played_says_why(
    track: object, codecs: tuple[Codec, ...], plan: Plan, reason: str
) -> None:
    with pytest.raises(Rejected) as refused:
        allowed_renditions(track, plan=plan, codecs=codecs)  # type: ignore[arg-type]  # parametrize erases it
    assert refused.value.code is Code.NOT_PLAYABLE
    assert refused.value.details["reasons"] == [reason]


def test_what_is_allowed_comes_by_the_device_s_preference_and_then_by_bitrate() -> None:
    names = [
        r.name for r in allowed_renditions(a_track(*LADDER), plan=Plan.FREE, codecs=(Codec.VORBIS, Codec.AAC))
    ]
    assert names == ["vorbis-96", "vorbis-160", "aac-96", "aac-160"]
