"""The length of every rendition is exact, and the music in it lies where the numbers say."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from catalog.model import Codec
from kernel.errors import Code, Rejected
from media import fmp4
from media.transcode import AAC_KBPS, VORBIS_KBPS, Transcoded, read_loudness, transcode
from tests.support.sound import lag_of, noise_and_tones, read_sound, write_sound

FRAMES = 205_123
"""4.65 s: two fragments, and no whole number of AAC packets."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = noise_and_tones(FRAMES / 44_100 + 0.01)[:FRAMES]
    return write_sound(tmp_path_factory.mktemp("source") / "a.flac", samples)


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Transcoded:
    return transcode(source, tmp_path_factory.mktemp("work"))


def test_every_rendition_of_the_ladder_is_there_and_named_by_its_bytes(made: Transcoded) -> None:
    names = [rendition.name for rendition, _ in made.renditions]
    assert names == [f"vorbis-{kbps}" for kbps in VORBIS_KBPS] + [f"aac-{kbps}" for kbps in AAC_KBPS]
    for rendition, path in made.renditions:
        data = path.read_bytes()
        assert rendition.blob == f"audio/{sha256(data).hexdigest()}"
        assert rendition.size == len(data)
        assert (rendition.sample_rate, rendition.pcm_frames) == (44_100, FRAMES)


def test_decoded_frames_less_delay_and_padding_are_the_music(made: Transcoded) -> None:
    for rendition, path in made.renditions:
        decoded = len(read_sound(path))
        assert decoded - rendition.encoder_delay - rendition.end_padding == FRAMES, rendition.name
        is_aac = rendition.codec is Codec.AAC
        assert rendition.encoder_delay == (1024 if is_aac else 0)
        assert rendition.end_padding < 1024
        assert is_aac or rendition.end_padding == 0


def test_what_is_left_after_trimming_lies_on_the_source_to_the_frame(made: Transcoded, source: Path) -> None:
    original = read_sound(source)
    for rendition, path in made.renditions:
        trimmed = read_sound(path)[rendition.encoder_delay :][:FRAMES]
        assert lag_of(trimmed, original) == 0, rendition.name
        error = float(np.sqrt(np.mean((trimmed - original) ** 2)) / np.sqrt(np.mean(original**2)))
        assert error < 0.35, rendition.name


def test_segments_tile_the_file_and_the_decoders_output(made: Transcoded) -> None:
    for rendition, path in made.renditions:
        if rendition.codec is not Codec.AAC:
            assert rendition.segments == ()
            continue
        assert len(rendition.segments) == 2
        at, frame = rendition.init_size, 0
        for segment in rendition.segments:
            assert (segment.offset, segment.start_frame) == (at, frame)
            at, frame = at + segment.size, frame + segment.frames
        assert at == rendition.size == path.stat().st_size
        assert frame == rendition.encoder_delay + FRAMES + rendition.end_padding
        # A player may stop or seek after any segment: each is about four seconds.
        assert rendition.segments[0].frames == pytest.approx(4 * 44_100, abs=1024)


def test_a_segment_decodes_with_the_init_part_alone(made: Transcoded, tmp_path: Path) -> None:
    rendition, path = next((r, p) for r, p in made.renditions if r.name == "aac-160")
    data = path.read_bytes()
    last = rendition.segments[-1]
    (tmp_path / "part.mp4").write_bytes(
        data[: rendition.init_size] + data[last.offset : last.offset + last.size]
    )
    assert len(read_sound(tmp_path / "part.mp4")) == last.frames


def test_a_second_run_gives_the_same_bytes(made: Transcoded, source: Path, tmp_path: Path) -> None:
    again = transcode(source, tmp_path)
    assert [r for r, _ in again.renditions] == [r for r, _ in made.renditions]


def test_nothing_but_the_renditions_is_left_behind(source: Path, tmp_path: Path) -> None:
    made = transcode(source, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for _, path in made.renditions}


def test_a_file_with_an_edit_list_is_refused_by_the_reader(source: Path, tmp_path: Path) -> None:
    path = write_sound(
        tmp_path / "edit.mp4",
        read_sound(source),
        args=("-c:a", "aac", "-movflags", "+delay_moov+empty_moov+default_base_moof+skip_trailer"),
    )
    with pytest.raises(Rejected, match="edit list"):
        fmp4.read_layout(path.read_bytes())


@pytest.mark.parametrize(
    ("rate", "channels", "becomes"),
    [(96_000, 2, 48_000), (22_050, 1, 44_100), (32_000, 2, 48_000), (48_000, 6, 48_000), (8_000, 1, 48_000)],
)
def test_other_rates_and_channels_become_stereo_at_a_rate_of_ours(
    rate: int, channels: int, becomes: int, tmp_path: Path
) -> None:
    path = write_sound(
        tmp_path / "in" / "a.wav", noise_and_tones(1.0, rate=rate, channels=channels), rate=rate
    )
    made = transcode(path, tmp_path)
    assert made.sample_rate == becomes
    assert made.pcm_frames == pytest.approx(becomes, abs=2)
    for _, rendition in made.renditions:
        assert read_sound(rendition).shape[1] == 2


@pytest.mark.parametrize("seconds", [0.5, 0.73, 1.0, 1.9])
def test_short_pieces_are_exact_too(seconds: float, tmp_path: Path) -> None:
    samples = noise_and_tones(seconds, rate=48_000)
    made = transcode(write_sound(tmp_path / "in" / "a.wav", samples, rate=48_000), tmp_path)
    for rendition, path in made.renditions:
        trimmed = len(read_sound(path)) - rendition.encoder_delay - rendition.end_padding
        assert trimmed == rendition.pcm_frames == len(samples)


def test_loudness_of_a_reference_tone_is_what_the_standard_says(tmp_path: Path) -> None:
    # EBU Tech 3341, case 1: a 1 kHz stereo sine at -23 dBFS reads -23 LUFS.
    t = np.arange(3 * 48_000) / 48_000
    tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * t)
    path = write_sound(
        tmp_path / "in" / "tone.wav",
        np.stack([tone, tone], axis=1).astype(np.float32),
        rate=48_000,
        args=("-c:a", "pcm_f32le"),
    )
    made = transcode(path, tmp_path)
    assert made.loudness_lufs == pytest.approx(-23.0, abs=0.1)
    assert made.true_peak_db == pytest.approx(-23.0, abs=0.1)


def test_silence_has_no_loudness(tmp_path: Path) -> None:
    silence = np.zeros((48_000, 2), dtype=np.float32)
    made = transcode(write_sound(tmp_path / "in" / "silence.flac", silence), tmp_path)
    assert (made.loudness_lufs, made.true_peak_db) == (None, None)


def test_a_blip_is_refused_with_its_length(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "in" / "blip.wav", noise_and_tones(0.1))
    with pytest.raises(Rejected) as refused:
        transcode(path, tmp_path)
    assert refused.value.code is Code.BAD_REQUEST
    assert "100 ms" in refused.value.message


def test_a_log_without_a_summary_is_no_measurement() -> None:
    with pytest.raises(Exception, match="no loudness summary"):
        read_loudness("nothing to see")
