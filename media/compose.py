"""Plays the demo album and writes it into a folder as tagged FLAC files with covers.

So that somebody without music at hand hears something at once. The same code gives the same files; a folder
that holds them already is left alone.
"""

import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from mutagen.flac import FLAC, Picture
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw, ImageFilter

from media import ffmpeg
from media.score import DATES, HUES, PIECES, Arpeggio, Chords, Drum, Line, Melody, Part, Piece
from media.synth import RATE, Instrument, Signal, frequency, room

EDITION: Final = "1"
"""Written beside the files; another number and they are played anew."""
PEAK: Final = 0.82
"""Of full scale, for the loudest sample of each piece: nothing is ever clipped."""
CUT_AT_BARS: Final = 0.4
"""How far into a bar a piece in two files is cut: in the middle of sounding notes."""
COVER_PX: Final = 800
MARKER: Final = ".demo-edition"


def compose_demo(folder: Path, *, on_piece: Callable[[str], None] | None = None) -> Path:
    """Make sure that the album is in `folder`; returns `folder`. Takes some seconds the first time.

    `on_piece` is told each title before it is played.
    """
    marker = folder / MARKER
    if marker.exists() and marker.read_text() == EDITION:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for piece in PIECES:
        if on_piece:
            on_piece(" / ".join(piece.titles))
        write_piece(piece, folder)
    marker.write_text(EDITION)
    return folder


def write_piece(piece: Piece, folder: Path) -> list[Path]:
    """Play one piece and write its file or files: `folder/artist/album/01 - title.flac`."""
    sound = play(piece)
    cover = draw_cover(piece.album)
    album = folder / piece.artist / piece.album
    album.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (title, part) in enumerate(zip(piece.titles, _cut(piece, sound), strict=True), piece.number):
        path = album / f"{number:02d} - {title}.flac"
        _write_flac(part, path)
        _tag(path, piece, title, number, cover)
        written.append(path)
    return written


# ----------------------------------------------------------------------------------------------- playing


def play(piece: Piece) -> Signal:
    """The sound of a piece, (2, frames), its loudest sample at PEAK."""
    # Each piece has its own stream of noise, so that changing one leaves the others as they are.
    rng = default_rng(list(piece.titles[0].encode()))
    beat_s = 60.0 / piece.bpm
    bar_s = beat_s * piece.beats
    frames = int((len(piece.chords) * bar_s + piece.tail_s) * RATE)
    mix = np.zeros((2, frames))
    struck: dict[tuple[Instrument, int, float], Signal] = {}
    for part in piece.parts:
        for beat, held, midi in _notes(piece, part):
            key = part.play, midi, held
            if key not in struck:
                struck[key] = part.play(frequency(midi), held * beat_s)
            # People are never quite on time, nor equally loud.
            late_s = abs(float(rng.normal(0.0, 0.004)))
            level = part.gain * float(rng.uniform(0.86, 1.0))
            _add(mix, struck[key] * level, _swung(piece, beat) * beat_s + late_s, part.pan)
    for drum in piece.drums:
        for beat, strength in _hits(piece, drum):
            level = drum.gain * strength * float(rng.uniform(0.85, 1.0))
            _add(mix, drum.hit(rng) * level, _swung(piece, beat) * beat_s, drum.pan)
    mix += piece.wet * room(mix, rng, seconds=piece.room_s)
    fade = int(min(piece.tail_s, 1.5) * RATE)
    mix[:, -fade:] *= np.linspace(1.0, 0.0, fade) ** 2
    return np.asarray(mix * (PEAK / np.max(np.abs(mix))))


def _notes(piece: Piece, part: Part) -> Iterator[tuple[float, float, int]]:
    """`(beat, beats held, MIDI note)` of one player."""
    key = piece.key + 12 * part.octave
    end = len(piece.chords) if part.end is None else part.end
    if isinstance(part, Melody):
        beat = float(part.start * piece.beats)
        for degree, held in part.notes:
            if degree is not None:
                yield beat, held, key + _pitch(piece, degree)
            beat += held
        return
    for bar in range(part.start, end):
        # Roots from the fourth degree up are taken an octave lower: parts stay in their register.
        root = piece.chords[bar] - (7 if piece.chords[bar] > 3 else 0)
        at = float(bar * piece.beats)
        if isinstance(part, Chords):
            chord = sorted(_close(_pitch(piece, root + 2 * voice)) for voice in range(part.voices))
            for beat, held in part.rhythm:
                yield from ((at + beat, held, key + note) for note in chord)
        elif isinstance(part, Arpeggio):
            for index in range(int(piece.beats / part.step)):
                voice = part.pattern[(index + bar * int(piece.beats / part.step)) % len(part.pattern)]
                degree = root + (0, 2, 4, 7, 9)[voice]
                yield at + index * part.step, part.step, key + _pitch(piece, degree)
        else:
            assert isinstance(part, Line)
            for beat, held, degree in part.notes:
                yield at + beat, held, key + _pitch(piece, root + degree)


def _hits(piece: Piece, drum: Drum) -> Iterator[tuple[float, float]]:
    """`(beat, strength)`."""
    end = len(piece.chords) if drum.end is None else drum.end
    for bar in range(drum.start, end):
        for sixteenth, sign in enumerate(drum.line):
            if sign != ".":
                yield bar * piece.beats + sixteenth / 4, 1.0 if sign == "x" else 0.55


def _pitch(piece: Piece, degree: int) -> int:
    octave, step = divmod(degree, len(piece.scale))
    return 12 * octave + piece.scale[step]


def _close(pitch: int) -> int:
    """The same note near the key, a fourth below to a fifth above: chords move in small steps."""
    return (pitch + 5) % 12 - 5


def _swung(piece: Piece, beat: float) -> float:
    is_offbeat = round(beat * 4) % 2 == 1
    return beat + (piece.swing / 4 if is_offbeat else 0.0)


def _add(mix: Signal, note: Signal, at_s: float, pan: float) -> None:
    start = int(at_s * RATE)
    count = min(note.size, mix.shape[1] - start)
    if count <= 0:
        return
    # Equal power: a sound is as loud at the side as in the middle.
    angle = (pan + 1) * math.pi / 4
    mix[0, start : start + count] += math.cos(angle) * note[:count]
    mix[1, start : start + count] += math.sin(angle) * note[:count]


def _cut(piece: Piece, sound: Signal) -> list[Signal]:
    if len(piece.titles) == 1:
        return [sound]
    bar_s = piece.beats * 60.0 / piece.bpm
    at = int((len(piece.chords) // 2 + CUT_AT_BARS) * bar_s * RATE)
    return [sound[:, :at], sound[:, at:]]


# ----------------------------------------------------------------------------------------------- writing


def _write_flac(sound: Signal, path: Path) -> None:
    samples = np.rint(sound.T * 32_767).astype("<i2")
    part = path.with_suffix(".part")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        raw.write_bytes(samples.tobytes())
        ffmpeg.run(
            [
                *("-v", "error", "-f", "s16le", "-ar", str(RATE), "-ac", "2", "-i", str(raw)),
                *("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"),
                *("-c:a", "flac", "-compression_level", "5", "-f", "flac", str(part)),
            ],
            timeout_s=60.0,
        )
    os.replace(part, path)


def _tag(path: Path, piece: Piece, title: str, number: int, cover: bytes) -> None:
    file = FLAC(path)  # type: ignore[no-untyped-call]  # mutagen annotates parts of itself only
    file["title"] = title
    file["artist"] = piece.artist
    file["albumartist"] = piece.artist
    file["album"] = piece.album
    file["tracknumber"] = str(number)
    file["date"] = DATES[piece.album]
    file["genre"] = list(piece.genres)
    file["label"] = "Segue Demo"
    picture = Picture()  # type: ignore[no-untyped-call]
    picture.type = 3  # front cover
    picture.mime = "image/jpeg"
    picture.width = picture.height = COVER_PX
    picture.depth = 24
    picture.data = cover
    file.add_picture(picture)  # type: ignore[no-untyped-call]
    file.save()


def draw_cover(album: str) -> bytes:
    """A cover for an album, JPEG: a sky, a light, and hills before it."""
    rng = default_rng(list(album.encode()))
    hue = HUES[album]
    rows = np.linspace(0.0, 1.0, COVER_PX)[:, None, None]
    top, bottom = _colour(hue, 0.62, 0.24), _colour(hue + 0.09, 0.5, 0.94)
    sky = np.broadcast_to(top * (1 - rows**0.8) + bottom * rows**0.8, (COVER_PX, COVER_PX, 3))
    image = Image.fromarray(np.uint8(sky * 255))
    draw = ImageDraw.Draw(image)
    x, y, radius = (
        float(rng.uniform(low, high)) * COVER_PX for low, high in ((0.3, 0.7), (0.28, 0.42), (0.09, 0.16))
    )
    light = Image.new("L", image.size, 0)
    ImageDraw.Draw(light).ellipse((x - radius, y - radius, x + radius, y + radius), fill=235)
    halo = light.filter(ImageFilter.GaussianBlur(COVER_PX / 14))
    image.paste((255, 244, 222), mask=halo)
    image.paste((255, 250, 236), mask=light.filter(ImageFilter.GaussianBlur(1.2)))
    for layer in range(4):
        draw.polygon(
            _ridge(rng, 0.56 + 0.11 * layer), fill=_rgb(_colour(hue + 0.03 * layer, 0.55, 0.5 - 0.11 * layer))
        )
    out = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(0.6)).save(out, "JPEG", quality=90)
    return out.getvalue()


def _ridge(rng: Generator, height: float) -> list[tuple[float, float]]:
    across = np.linspace(0.0, 1.0, 161)
    line = np.zeros_like(across)
    for wave in range(1, 6):
        line += np.sin(2 * np.pi * (wave * across * rng.uniform(0.7, 1.4) + rng.uniform())) / wave**1.3
    points = [
        (float(a) * COVER_PX, float(height + 0.035 * b) * COVER_PX) for a, b in zip(across, line, strict=True)
    ]
    return [(0.0, float(COVER_PX)), *points, (float(COVER_PX), float(COVER_PX))]


def _colour(hue: float, saturation: float, value: float) -> Signal:
    """HSV to RGB, 0 to 1."""
    sector = (hue % 1.0) * 6
    ramp = np.clip(np.abs((sector + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return np.asarray(value * (1 - saturation * (1 - ramp)))


def _rgb(colour: Signal) -> tuple[int, int, int]:
    red, green, blue = (round(255 * float(part)) for part in colour)
    return red, green, blue
