"""Sounds made of numbers: a few instruments, drums and a room. What the demo album is played with.

Every function is a pure function of its arguments; noise comes from a generator that is passed in. Signals
are float64 at RATE; a note includes its release, so it is longer than its written duration.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

RATE: Final = 44_100

Signal = NDArray[np.float64]
Instrument = Callable[[float, float], Signal]
"""`(frequency in Hz, written duration in seconds)` to one mono note of about unit level."""


def frequency(midi: int) -> float:
    """Equal temperament, A4 (69) = 440 Hz."""
    return float(440.0 * 2.0 ** ((midi - 69) / 12))


def _times(seconds: float) -> Signal:
    return np.arange(int(seconds * RATE), dtype=np.float64) / RATE


def _envelope(
    duration_s: float, *, attack_s: float, decay_s: float, sustain: float, release_s: float
) -> tuple[Signal, Signal]:
    """`(times, ADSR)`; the release begins where the written duration ends, at the level reached by then."""
    t = _times(duration_s + release_s)
    level = np.minimum(t / attack_s, 1.0)
    level *= sustain + (1.0 - sustain) * np.exp(-np.maximum(t - attack_s, 0.0) / decay_s)
    released = np.maximum(t - duration_s, 0.0) / release_s
    return t, level * (0.5 + 0.5 * np.cos(np.pi * np.minimum(released, 1.0)))


def _partials(t: Signal, hz: float, levels: Signal, *, detune: float = 0.0) -> Signal:
    """Harmonics of `hz` at `levels`, none above 16 kHz."""
    out = np.zeros_like(t)
    for number, level in enumerate(levels, start=1):
        if level and number * hz < 16_000:
            out += level * np.sin(2 * np.pi * hz * number * (1 + detune) * t + 0.7 * number * number)
    return out


def electric_piano(hz: float, duration_s: float) -> Signal:
    """Two operators of frequency modulation: a warm body and a tine that dies away soon."""
    t, level = _envelope(duration_s, attack_s=0.004, decay_s=0.9, sustain=0.25, release_s=0.25)
    tine = 0.35 * np.exp(-t / 0.12) * np.sin(2 * np.pi * hz * 14 * t) if hz * 14 < 16_000 else 0.0
    body = np.sin(2 * np.pi * hz * t + 0.9 * np.exp(-t / 0.5) * np.sin(2 * np.pi * hz * t))
    return np.asarray(level * (body + 0.25 * tine))


def harp(hz: float, duration_s: float) -> Signal:
    """A plucked string: the higher the partial, the sooner it is gone."""
    t = _times(min(duration_s + 1.2, 2.4))
    out = np.zeros_like(t)
    for number in range(1, 11):
        if number * hz < 14_000:
            stretched = hz * number * np.sqrt(1 + 0.0003 * number * number)
            fade = np.exp(-t * (1.1 + 0.9 * number + hz / 600))
            out += fade * np.sin(2 * np.pi * stretched * t) / number**1.15
    ending = np.minimum((t[-1] - t) / 0.08, 1.0)
    return np.asarray(out * np.minimum(t / 0.003, 1.0) * ending)


def marimba(hz: float, duration_s: float) -> Signal:
    t = _times(0.9)
    bar = np.exp(-t * 6) * np.sin(2 * np.pi * hz * t)
    bar += 0.35 * np.exp(-t * 18) * np.sin(2 * np.pi * hz * 3.93 * t)
    bar += 0.12 * np.exp(-t * 35) * np.sin(2 * np.pi * hz * 9.2 * t)
    return np.asarray(bar * np.minimum(t / 0.002, 1.0) * np.minimum((t[-1] - t) / 0.05, 1.0))


def bell(hz: float, duration_s: float) -> Signal:
    """Partials of a struck bell, which are not harmonics."""
    t = _times(4.0)
    out = np.zeros_like(t)
    for ratio, strength, fade in (
        (0.5, 0.4, 0.9),
        (1, 1, 1.1),
        (1.19, 0.4, 1.6),
        (2, 0.5, 2.0),
        (2.76, 0.25, 3),
    ):
        out += strength * np.exp(-t * fade) * np.sin(2 * np.pi * hz * ratio * t)
    return np.asarray(0.6 * out * np.minimum(t / 0.004, 1.0) * np.minimum((t[-1] - t) / 0.4, 1.0))


def strings(hz: float, duration_s: float) -> Signal:
    """Three players a little out of tune with each other, bowing softly."""
    t, level = _envelope(duration_s, attack_s=0.35, decay_s=2.0, sustain=0.85, release_s=0.7)
    levels = 1.0 / np.arange(1.0, 9.0, dtype=np.float64) ** 1.6
    section = sum(
        (_partials(t, hz, levels, detune=cents / 1731) for cents in (-6.0, 0.5, 7.0)), np.zeros_like(t)
    )
    return np.asarray(0.36 * level * section * (1 + 0.06 * np.sin(2 * np.pi * 4.7 * t)))


def glow(hz: float, duration_s: float) -> Signal:
    """A slow pad whose upper partials come and go."""
    t, level = _envelope(duration_s, attack_s=0.9, decay_s=3.0, sustain=0.9, release_s=1.6)
    low = _partials(t, hz, np.array([1.0, 0.35, 0.12]), detune=0.0011)
    high = _partials(t, hz, np.array([0, 0, 0.2, 0.14, 0.1, 0.06]), detune=-0.0014)
    return np.asarray(0.7 * level * (low + high * (0.5 + 0.5 * np.sin(2 * np.pi * 0.21 * t))))


def flute(hz: float, duration_s: float) -> Signal:
    """Vibrato that sets in late, as a player's does."""
    t, level = _envelope(duration_s, attack_s=0.06, decay_s=0.5, sustain=0.8, release_s=0.16)
    vibrato = 0.0045 * np.minimum(t / 0.5, 1.0) * np.sin(2 * np.pi * 5.2 * t)
    phase = 2 * np.pi * hz * (t + np.cumsum(vibrato) / RATE)
    return np.asarray(level * (np.sin(phase) + 0.22 * np.sin(2 * phase) + 0.07 * np.sin(3 * phase)))


def reed(hz: float, duration_s: float) -> Signal:
    """Odd partials: clarinet-like, for a lead that stands out."""
    t, level = _envelope(duration_s, attack_s=0.03, decay_s=0.4, sustain=0.75, release_s=0.12)
    shape = np.array([1.0, 0.04, 0.42, 0.03, 0.2, 0.02, 0.09])
    wobble = 1 + 0.05 * np.minimum(t / 0.4, 1.0) * np.sin(2 * np.pi * 5.6 * t)
    return np.asarray(0.7 * level * wobble * _partials(t, hz, shape))


def round_bass(hz: float, duration_s: float) -> Signal:
    t, level = _envelope(duration_s, attack_s=0.008, decay_s=0.5, sustain=0.6, release_s=0.09)
    growl = np.exp(-t / 0.18)
    body = np.sin(2 * np.pi * hz * t) + 0.3 * np.sin(4 * np.pi * hz * t)
    return np.asarray(level * (body + 0.18 * growl * np.sin(6 * np.pi * hz * t)))


# ------------------------------------------------------------------------------------------------- drums


def kick(rng: Generator) -> Signal:
    t = _times(0.32)
    sweep = 48 * t + 95 * 0.035 * (1 - np.exp(-t / 0.035))
    click = rng.standard_normal(t.size) * np.exp(-t / 0.003) * 0.12
    return np.asarray(np.sin(2 * np.pi * sweep) * np.exp(-t / 0.11) * np.minimum(t / 0.002, 1.0) + click)


def snare(rng: Generator) -> Signal:
    t = _times(0.24)
    noise = _bright(rng.standard_normal(t.size)) * np.exp(-t / 0.07)
    return np.asarray(0.4 * noise + 0.5 * np.sin(2 * np.pi * 188 * t) * np.exp(-t / 0.05))


def rim(rng: Generator) -> Signal:
    t = _times(0.06)
    return np.asarray(np.sin(2 * np.pi * 1750 * t) * np.exp(-t / 0.009) + 0.2 * snare(rng)[: t.size])


def hat(rng: Generator) -> Signal:
    t = _times(0.07)
    return np.asarray(0.5 * _bright(_bright(rng.standard_normal(t.size))) * np.exp(-t / 0.016))


def shaker(rng: Generator) -> Signal:
    t = _times(0.11)
    swing = np.sin(np.pi * t / t[-1]) ** 2
    return np.asarray(0.35 * _bright(rng.standard_normal(t.size)) * swing)


def brush(rng: Generator) -> Signal:
    t = _times(0.3)
    return np.asarray(
        0.22 * _bright(rng.standard_normal(t.size)) * np.minimum(t / 0.03, 1) * np.exp(-t / 0.09)
    )


def _bright(noise: Signal) -> Signal:
    """The difference of neighbours: what is left are the high frequencies."""
    return np.diff(noise, prepend=0.0)


# -------------------------------------------------------------------------------------------------- room


def room(dry: Signal, rng: Generator, *, seconds: float) -> Signal:
    """The reverberation alone of a stereo signal (2, n), as long as `dry`: noise that fades, convolved."""
    count = int(seconds * 1.6 * RATE)
    t = np.arange(count) / RATE
    out = np.empty_like(dry)
    size = 1 << (dry.shape[1] + count - 1).bit_length()
    for side in range(2):
        tail = rng.standard_normal(count) * np.exp(-6.9 * t / seconds)
        tail[: int(0.012 * RATE)] = 0.0
        # Walls swallow the high frequencies first: a moving mean, wider towards the end.
        smooth = np.convolve(tail, np.ones(9) / 9, mode="same")
        fade = np.minimum(t / (0.5 * seconds), 1.0)
        tail = tail * (1 - fade) * 0.5 + smooth * (0.5 + fade)
        tail /= np.sqrt(np.sum(tail * tail))
        spectrum = np.fft.rfft(dry[side], size) * np.fft.rfft(tail, size)
        out[side] = np.fft.irfft(spectrum, size)[: dry.shape[1]]
    return out
