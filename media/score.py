"""The demo album on paper: chords, basses, melodies and rhythms, as data.

Degrees count the notes of the piece's scale from 0; 7 is the octave. A bar's chord is a degree, too: its
notes are every second note of the scale from there. One character of a drum line is a sixteenth (`x` loud,
`o` soft).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from numpy.random import Generator

from media import synth
from media.synth import Instrument, Signal

MAJOR: Final = (0, 2, 4, 5, 7, 9, 11)
MINOR: Final = (0, 2, 3, 5, 7, 8, 10)
DORIAN: Final = (0, 2, 3, 5, 7, 9, 10)
LYDIAN: Final = (0, 2, 4, 6, 7, 9, 11)
MIXOLYDIAN: Final = (0, 2, 4, 5, 7, 9, 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One player, over bars `start` to `end` (None: to the last)."""

    play: Instrument
    gain: float
    pan: float = 0.0
    """-1 left to 1 right."""
    start: int = 0
    end: int | None = None
    octave: int = 0
    """Octaves above (below) the piece's key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chords(Part):
    """The bar's chord, struck at these beats and held for so many."""

    rhythm: tuple[tuple[float, float], ...]
    voices: int = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Arpeggio(Part):
    """Notes of the bar's chord one after another, `step` beats apart."""

    pattern: tuple[int, ...]
    step: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Line(Part):
    """A pattern within each bar, in degrees above the bar's chord: `(beat, beats held, degree)`."""

    notes: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Melody(Part):
    """Degrees of the scale and their beats, one after another from `start`; None rests."""

    notes: tuple[tuple[int | None, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drum:
    """One drum, the same line in every bar from `start` to `end`."""

    hit: Callable[[Generator], Signal]
    line: str
    gain: float
    pan: float = 0.0
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One piece of music; cut in two files when it has two titles."""

    titles: tuple[str, ...]
    artist: str
    album: str
    number: int
    """Of the first title on the album."""
    genres: tuple[str, ...]
    bpm: float
    beats: int = 4
    """In a bar."""
    key: int
    """MIDI note of degree 0, in the middle register."""
    scale: tuple[int, ...]
    chords: tuple[int, ...]
    """One per bar."""
    parts: tuple[Part, ...]
    drums: tuple[Drum, ...] = ()
    swing: float = 0.0
    """How late every second sixteenth comes, as a part of a sixteenth."""
    room_s: float = 1.6
    wet: float = 0.25
    tail_s: float = 2.5


SOLENNE: Final = "Mira Solenne"
ENGINES: Final = "The Quiet Engines"
OKAPI: Final = "Okapi Motel"
HARBOUR: Final = "Harbour Lights"
SATELLITES: Final = "Paper Satellites"
SUNDAY: Final = "Sunday Market"

DATES: Final = {HARBOUR: "2024-09-13", SATELLITES: "2025-03-21", SUNDAY: "2025-06-01"}
HUES: Final = {HARBOUR: 0.57, SATELLITES: 0.76, SUNDAY: 0.03}
"""Of the covers, 0 to 1 around the circle of colours from red."""

PIECES: Final = (
    Piece(
        titles=("Lamplight",),
        artist=SOLENNE,
        album=HARBOUR,
        number=1,
        genres=("jazz", "ambient"),
        bpm=84,
        key=62,
        scale=MAJOR,
        chords=(0, 5, 3, 4, 0, 2, 3, 4, 0),
        swing=0.22,
        parts=(
            Chords(play=synth.electric_piano, gain=0.13, pan=-0.25, rhythm=((0, 1.4), (1.5, 0.9), (3, 0.8))),
            Line(play=synth.round_bass, gain=0.3, octave=-2, notes=((0, 1.3, 0), (1.5, 0.9, 4), (3, 0.9, 2))),
            Melody(
                play=synth.flute,
                gain=0.17,
                pan=0.2,
                start=1,
                octave=1,
                notes=(
                    *((2, 1.5), (1, 0.5), (0, 1), (-2, 1), (0, 1.5), (1, 0.5), (2, 2)),
                    *((4, 1.5), (3, 0.5), (2, 1), (1, 1), (2, 2), (None, 1), (4, 1)),
                    *((6, 1), (7, 1), (6, 0.5), (4, 1.5), (5, 1.5), (4, 0.5), (2, 2)),
                    *((1, 1), (2, 1), (4, 1), (1, 1), (0, 4)),
                ),
            ),
        ),
        drums=(
            Drum(hit=synth.brush, line="o.o.x.o.o.o.x.oo", gain=0.5, pan=0.15, end=8),
            Drum(hit=synth.kick, line="o.......o.o.....", gain=0.24, start=1, end=8),
            Drum(hit=synth.rim, line="....o.......o...", gain=0.06, pan=-0.3, start=2, end=8),
        ),
    ),
    Piece(
        titles=("Tide Going Out", "Tide Coming In"),
        artist=SOLENNE,
        album=HARBOUR,
        number=2,
        genres=("ambient", "electronic"),
        bpm=104,
        key=57,
        scale=MINOR,
        chords=(0, 0, 5, 5, 3, 3, 4, 4, 0, 5, 2, 6, 0, 5, 3, 4, 5, 6, 0, 0),
        room_s=2.6,
        wet=0.34,
        tail_s=3.5,
        parts=(
            Arpeggio(
                play=synth.harp, gain=0.2, pan=-0.35, octave=1, pattern=(0, 2, 1, 3, 2, 4, 3, 1), step=0.5
            ),
            Arpeggio(
                play=synth.harp,
                gain=0.12,
                pan=0.45,
                start=4,
                octave=2,
                pattern=(4, 2, 3, 1),
                step=0.25,
                end=19,
            ),
            Chords(play=synth.strings, gain=0.075, pan=0.1, start=2, rhythm=((0, 4),), voices=3),
            Line(
                play=synth.round_bass,
                gain=0.27,
                octave=-1,
                start=4,
                end=18,
                notes=((0, 2.5, 0), (2.5, 1.4, 0)),
            ),
            Melody(
                play=synth.flute,
                gain=0.15,
                pan=-0.1,
                start=8,
                octave=1,
                notes=(
                    *((4, 3), (2, 1), (5, 3), (4, 1), (6, 2), (4, 2), (3, 1), (4, 3)),
                    *((7, 3), (6, 1), (5, 2), (4, 2), (5, 1), (4, 1), (2, 2), (4, 2), (1, 2)),
                    *((2, 3), (1, 1), (3, 2), (1, 2), (0, 8)),
                ),
            ),
        ),
        drums=(
            Drum(hit=synth.kick, line="x.....o.x.......", gain=0.26, start=6, end=18),
            Drum(hit=synth.shaker, line="o.xoo.xoo.xoo.xo", gain=0.4, pan=0.3, start=8, end=18),
        ),
    ),
    Piece(
        titles=("Harbour Waltz",),
        artist=SOLENNE,
        album=HARBOUR,
        number=4,
        genres=("folk",),
        bpm=126,
        beats=3,
        key=55,
        scale=MAJOR,
        chords=(0, 4, 5, 2, 3, 0, 3, 4, 0, 4, 5, 2, 3, 1, 4, 0),
        parts=(
            Line(play=synth.round_bass, gain=0.25, octave=-1, notes=((0, 1.5, 0),)),
            Chords(play=synth.harp, gain=0.14, pan=-0.3, octave=1, rhythm=((1, 0.8), (2, 0.8)), voices=3),
            Chords(play=synth.strings, gain=0.06, pan=0.35, start=8, rhythm=((0, 3),), voices=3),
            Melody(
                play=synth.reed,
                gain=0.13,
                pan=0.1,
                octave=1,
                notes=(
                    *((4, 2), (2, 1), (1, 1), (2, 1), (4, 1), (5, 2), (4, 1), (2, 3)),
                    *((3, 1), (4, 1), (5, 1), (4, 2), (2, 1), (3, 1), (2, 1), (1, 1), (1, 3)),
                    *((4, 2), (7, 1), (6, 1), (4, 1), (1, 1), (5, 1), (6, 1), (7, 1), (6, 2), (4, 1)),
                    *((5, 2), (3, 1), (3, 1), (2, 1), (1, 1), (1, 1.5), (0, 0.5), (-1, 1), (0, 3)),
                ),
            ),
        ),
        drums=(Drum(hit=synth.shaker, line="....x...o...", gain=0.3, pan=-0.2, start=4, end=15),),
    ),
    Piece(
        titles=("Night Bus",),
        artist=ENGINES,
        album=SATELLITES,
        number=1,
        genres=("electronic", "jazz"),
        bpm=98,
        key=64,
        scale=DORIAN,
        chords=(0, 0, 3, 3, 0, 0, 3, 3, 5, 4, 0),
        swing=0.16,
        room_s=1.1,
        wet=0.2,
        parts=(
            Line(
                play=synth.round_bass,
                gain=0.34,
                octave=-3,
                notes=(
                    (0, 0.7, 0),
                    (0.75, 0.2, 7),
                    (1.5, 0.45, 4),
                    (2.5, 0.4, 6),
                    (3, 0.4, 7),
                    (3.5, 0.4, 4),
                ),
                end=10,
            ),
            Line(play=synth.round_bass, gain=0.34, octave=-3, notes=((0, 3.5, 0),), start=10),
            Chords(
                play=synth.electric_piano, gain=0.12, pan=0.3, rhythm=((0.5, 0.4), (1.75, 0.7), (3.5, 0.3))
            ),
            Chords(play=synth.glow, gain=0.05, pan=-0.2, start=4, rhythm=((0, 4),), voices=3),
            Melody(
                play=synth.reed,
                gain=0.12,
                pan=-0.15,
                start=2,
                notes=(
                    *(
                        (None, 1),
                        (4, 0.5),
                        (6, 0.5),
                        (7, 1),
                        (6, 0.5),
                        (4, 0.5),
                        (3, 1),
                        (4, 1.5),
                        (None, 1.5),
                    ),
                    *(
                        (None, 1),
                        (4, 0.5),
                        (6, 0.5),
                        (8, 1),
                        (7, 0.5),
                        (6, 0.5),
                        (7, 1),
                        (4, 1.5),
                        (None, 1.5),
                    ),
                    *((9, 1), (8, 0.5), (7, 0.5), (6, 1), (4, 1), (5, 1), (4, 0.5), (3, 0.5), (1, 2)),
                    *((2, 1), (3, 1), (4, 1), (6, 1), (8, 2), (6, 1), (4, 1), (7, 4)),
                ),
            ),
        ),
        drums=(
            Drum(hit=synth.kick, line="x.....x...x.....", gain=0.5, end=10),
            Drum(hit=synth.snare, line="....x..o....x...", gain=0.34, pan=0.05, end=10),
            Drum(hit=synth.hat, line="x.oox.oox.oox.oo", gain=0.3, pan=0.35, start=1, end=10),
        ),
    ),
    Piece(
        titles=("Copper Wire",),
        artist=ENGINES,
        album=SATELLITES,
        number=2,
        genres=("electronic", "house"),
        bpm=122,
        key=65,
        scale=MINOR,
        chords=(0, 0, 5, 6, 0, 0, 5, 6, 3, 5, 0, 6, 0),
        room_s=1.3,
        wet=0.22,
        parts=(
            Arpeggio(
                play=synth.marimba,
                gain=0.22,
                pan=-0.3,
                octave=1,
                pattern=(0, 3, 2, 4, 1, 3),
                step=0.25,
                end=12,
            ),
            Line(
                play=synth.round_bass,
                gain=0.32,
                octave=-3,
                start=2,
                end=12,
                notes=((0.5, 0.4, 0), (1.5, 0.4, 0), (2.5, 0.4, 7), (3.25, 0.2, 4), (3.5, 0.4, 6)),
            ),
            Chords(play=synth.glow, gain=0.06, pan=0.2, start=4, rhythm=((0, 4),)),
            Chords(
                play=synth.electric_piano,
                gain=0.12,
                pan=0.4,
                start=4,
                end=12,
                rhythm=((0.75, 0.3), (2.25, 0.3)),
            ),
            Melody(
                play=synth.reed,
                gain=0.1,
                start=8,
                notes=(
                    *((7, 1.5), (6, 1.5), (5, 1), (4, 1.5), (5, 1.5), (7, 1)),
                    *((9, 1.5), (8, 1.5), (7, 1), (6, 2), (8, 1), (6, 1), (7, 4)),
                ),
            ),
        ),
        drums=(
            Drum(hit=synth.kick, line="x...x...x...x...", gain=0.55, start=1, end=12),
            Drum(hit=synth.hat, line="..x...x...x...x.", gain=0.4, pan=0.2, start=2, end=12),
            Drum(hit=synth.snare, line="....x.......x...", gain=0.26, start=4, end=12),
            Drum(hit=synth.shaker, line="xoxoxoxoxoxoxoxo", gain=0.22, pan=-0.35, start=4, end=12),
        ),
    ),
    Piece(
        titles=("Slow Orbit",),
        artist=ENGINES,
        album=SATELLITES,
        number=3,
        genres=("ambient", "electronic"),
        bpm=66,
        key=60,
        scale=LYDIAN,
        chords=(0, 1, 0, 5, 4, 1, 0),
        room_s=3.6,
        wet=0.45,
        tail_s=4.5,
        parts=(
            Chords(play=synth.glow, gain=0.11, pan=-0.15, rhythm=((0, 4),)),
            Chords(play=synth.strings, gain=0.06, pan=0.25, start=2, rhythm=((0, 4),), voices=3),
            Line(play=synth.round_bass, gain=0.2, octave=-2, notes=((0, 3.8, 0),)),
            Melody(
                play=synth.bell,
                gain=0.1,
                pan=0.3,
                octave=1,
                notes=(
                    *((None, 1), (4, 1), (6, 2), (8, 3), (6, 1), (4, 1), (2, 1), (3, 2)),
                    *((5, 2), (7, 2), (8, 1), (6, 1), (4, 2), (3, 2), (8, 2), (7, 4)),
                ),
            ),
            Arpeggio(
                play=synth.harp,
                gain=0.07,
                pan=-0.5,
                start=3,
                end=6,
                octave=1,
                pattern=(0, 1, 2, 3, 4, 3, 2, 1),
                step=0.5,
            ),
        ),
    ),
    Piece(
        titles=("Sunday Market",),
        artist=OKAPI,
        album=SUNDAY,
        number=1,
        genres=("folk", "jazz"),
        bpm=112,
        key=57,
        scale=MIXOLYDIAN,
        chords=(0, 6, 3, 0, 0, 6, 3, 4, 5, 3, 6, 0),
        room_s=0.9,
        wet=0.2,
        parts=(
            Line(
                play=synth.round_bass,
                gain=0.3,
                octave=-2,
                notes=((0, 0.9, 0), (1.5, 0.4, 4), (2, 0.9, 7), (3.5, 0.4, 4)),
                end=11,
            ),
            Line(play=synth.round_bass, gain=0.3, octave=-2, notes=((0, 3, 0),), start=11),
            Chords(
                play=synth.harp,
                gain=0.15,
                pan=-0.35,
                octave=1,
                rhythm=((0.5, 0.4), (1, 0.4), (1.75, 0.4), (2.5, 0.4), (3.25, 0.5)),
                voices=3,
                end=11,
            ),
            Chords(play=synth.harp, gain=0.18, pan=-0.35, octave=1, rhythm=((0, 3),), start=11),
            Melody(
                play=synth.marimba,
                gain=0.3,
                pan=0.25,
                octave=1,
                notes=(
                    *(
                        (4, 0.5),
                        (5, 0.5),
                        (7, 1),
                        (5, 0.5),
                        (4, 0.5),
                        (2, 1),
                        (1, 0.5),
                        (3, 0.5),
                        (6, 1),
                        (5, 0.5),
                    ),
                    *(
                        (3, 0.5),
                        (1, 1),
                        (3, 0.5),
                        (4, 0.5),
                        (5, 0.5),
                        (7, 0.5),
                        (5, 1),
                        (3, 1),
                        (4, 2),
                        (None, 2),
                    ),
                    *(
                        (4, 0.5),
                        (5, 0.5),
                        (7, 1),
                        (8, 0.5),
                        (9, 0.5),
                        (7, 1),
                        (8, 0.5),
                        (6, 0.5),
                        (5, 1),
                        (3, 0.5),
                    ),
                    *(
                        (1, 0.5),
                        (3, 1),
                        (5, 0.5),
                        (4, 0.5),
                        (3, 0.5),
                        (1, 0.5),
                        (0, 1),
                        (3, 1),
                        (4, 2),
                        (1, 2),
                    ),
                    *((5, 1), (7, 0.5), (9, 1), (7, 0.5), (5, 1), (7, 1), (5, 0.5), (3, 1), (5, 0.5), (3, 1)),
                    *((6, 1), (5, 0.5), (3, 1), (1, 0.5), (-1, 1), (0, 4)),
                ),
            ),
            Chords(play=synth.strings, gain=0.05, pan=0.1, start=8, end=11, rhythm=((0, 4),), voices=3),
        ),
        drums=(
            Drum(hit=synth.shaker, line="xooxoxoxxooxoxox", gain=0.35, pan=0.4, end=11),
            Drum(hit=synth.kick, line="x.....x.x.......", gain=0.34, start=1, end=11),
            Drum(hit=synth.rim, line="...x..x...x.x...", gain=0.11, pan=-0.15, start=2, end=11),
        ),
    ),
)
