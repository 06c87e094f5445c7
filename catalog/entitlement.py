"""What may be played, and in which quality: the plan's right, the device's ability, its listener's wish.

Pure. Decided at the start of a track and then kept for that play: changing quality in the middle is heard.
A right (the plan) is never exceeded; a wish (the device's ceiling, the measured throughput) gives way when
nothing is as small as it asks for, because music in a higher quality than wished beats silence.
"""

from collections.abc import Sequence

from catalog.model import Plan, Rendition, Track
from kernel.errors import Code, Rejected

FREE_BITRATE_KBPS_MAX = 160
PAID_BITRATE_KBPS_MAX = 320
THROUGHPUT_SHARE = 0.7
"""Part of the measured throughput that a stream may take: the rest is for its variation and for prefetch."""


def plan_bitrate_kbps_max(plan: Plan) -> int:
    """Highest nominal bitrate that the plan includes."""
    return FREE_BITRATE_KBPS_MAX if plan is Plan.FREE else PAID_BITRATE_KBPS_MAX


def allowed_renditions(track: Track, *, plan: Plan, codecs: Sequence[str]) -> tuple[Rendition, ...]:
    """What a device with these codecs may play: by its codecs, best first, then by bitrate, lowest first.

    Raises Rejected NOT_PLAYABLE; `details.reasons` holds `unavailable`, `no_common_codec` or `plan`.
    """
    if not track.available or not track.renditions:
        raise _not_playable(track, "unavailable", "no file of it is in the library now")
    playable = [rendition for rendition in track.renditions if rendition.codec in codecs]
    if not playable:
        offered = ", ".join(sorted({rendition.codec for rendition in track.renditions}))
        raise _not_playable(
            track, "no_common_codec", f"the device plays {', '.join(codecs) or 'nothing'}, it is in {offered}"
        )
    allowed = [rendition for rendition in playable if rendition.bitrate_kbps <= plan_bitrate_kbps_max(plan)]
    if not allowed:
        raise _not_playable(
            track,
            "plan",
            f"plan {plan} goes up to {plan_bitrate_kbps_max(plan)} kbps, it is in higher ones only",
        )
    preference = list(codecs)
    return tuple(sorted(allowed, key=lambda r: (preference.index(r.codec), r.bitrate_kbps)))


def choose_rendition(
    track: Track,
    *,
    plan: Plan,
    codecs: Sequence[str],
    bitrate_kbps_max: int,
    throughput_kbps: int | None,
) -> Rendition:
    """The best rendition in the first of the device's codecs that the plan allows.

    `bitrate_kbps_max` is the listener's wish; `throughput_kbps` None means not measured. Raises Rejected
    NOT_PLAYABLE as `allowed_renditions` does.
    """
    allowed = allowed_renditions(track, plan=plan, codecs=codecs)
    ladder = [rendition for rendition in allowed if rendition.codec is allowed[0].codec]
    wish = float(bitrate_kbps_max)
    if throughput_kbps is not None:
        wish = min(wish, throughput_kbps * THROUGHPUT_SHARE)
    fitting = [rendition for rendition in ladder if rendition.bitrate_kbps <= wish]
    return fitting[-1] if fitting else ladder[0]


def _not_playable(track: Track, reason: str, why: str) -> Rejected:
    return Rejected(Code.NOT_PLAYABLE, f"track {track.track_id} not playable: {why}", {"reasons": [reason]})
