"""ffmpeg opens what it was given and nothing else, ends in time, and says why it gave up."""

import os
import time
from pathlib import Path

import pytest

from kernel.errors import Code, Rejected, Unavailable
from media import ffmpeg
from tests.support.sound import noise_and_tones, write_sound


def decode(path: Path) -> int:
    args = ["-v", "error", *ffmpeg.source_args(path), "-map", "0:a:0", "-f", "s16le", "-"]
    return ffmpeg.run(args, timeout_s=20).output_bytes


def test_output_is_counted_in_full_and_kept_in_part(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise_and_tones(0.5))
    args = ["-v", "error", *ffmpeg.source_args(path), "-f", "s16le", "-"]
    ran = ffmpeg.run(args, timeout_s=20, output_bytes_kept=100)
    assert ran.output_bytes == 22_050 * 4
    assert len(ran.output) == 100


@pytest.mark.parametrize("suffix", [".mp3", ".m3u8", ".mpd", ".txt"])
def test_a_playlist_cannot_lead_to_another_file(suffix: str, tmp_path: Path) -> None:
    secret = write_sound(tmp_path / "secret.wav", noise_and_tones(0.5))
    bait = tmp_path / f"bait{suffix}"
    bait.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(Rejected):
        decode(bait)
    bait.write_text(f"ffconcat version 1.0\nfile '{secret.name}'\n")
    with pytest.raises(Rejected):
        decode(bait)


def test_a_name_that_looks_like_an_option_or_a_protocol_is_a_name(tmp_path: Path) -> None:
    for name in ("-y.wav", "concat:a|b.wav", "http:x.wav", "%03d.wav", "a'b[0].wav"):
        plain = write_sound(tmp_path / "plain.wav", noise_and_tones(0.1))
        plain.rename(tmp_path / name)
        assert decode(tmp_path / name) > 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"this is a letter, not a song\n" * 50, "not audio"),
        (b"\0" * 5000, "not audio"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2mp41\0\0\0\0\0\0\0\x08free", "truncated"),
    ],
)
def test_what_is_not_audio_is_refused_with_a_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(data)
    with pytest.raises(Rejected) as refused:
        decode(path)
    assert refused.value.code is Code.BAD_REQUEST
    assert reason in refused.value.message
    assert str(tmp_path) not in refused.value.message


def test_a_run_that_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable) as late:
        ffmpeg.run(["-f", "lavfi", "-re", "-i", "anullsrc", "-f", "null", "-"], timeout_s=0.5)
    assert late.value.code is Code.TIMEOUT
    assert time.monotonic() - began < 10


def test_a_talkative_run_is_kept_short() -> None:
    args = ["-v", "debug", "-f", "lavfi", "-i", "anullsrc", "-t", "60", "-af", "ashowinfo", "-f", "null", "-"]
    log = ffmpeg.run(args, timeout_s=30).log
    assert len(log) <= ffmpeg.LOG_BYTES_MAX
    assert "anullsrc" in log[:20_000]
    assert "muxing overhead" in log[-20_000:]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no processor affinity")
def test_sparing_a_core_leaves_our_own_affinity_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    ffmpeg.run(["-version"], timeout_s=20, spare_cores=1)
    assert os.sched_getaffinity(0) == before
