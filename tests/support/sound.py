"""Small real sound files for tests, made by the ffmpeg that the product uses."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media import ffmpeg

Samples = NDArray[np.float32]


def noise_and_tones(seconds: float, *, rate: int = 44_100, channels: int = 2, seed: int = 1) -> Samples:
    """Music-like enough to be encoded, unlike enough to itself to be aligned: (frames, channels)."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    wandering = np.cumsum(rng.standard_normal((t.size, channels)), axis=0)
    wandering -= np.linspace(0, 1, t.size)[:, None] * wandering[-1]
    wandering *= 0.2 / max(1e-9, float(np.max(np.abs(wandering))))
    tones = 0.2 * np.sin(2 * np.pi * (220 + 60 * seed) * t * (1 + 0.2 * t))[:, None]
    return np.asarray(wandering + tones + 0.02 * rng.standard_normal((t.size, channels)), dtype=np.float32)


def write_sound(path: Path, samples: Samples, *, rate: int = 44_100, args: tuple[str, ...] = ()) -> Path:
    """Write `samples` in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = path.with_name(f"{path.name}.raw")
    raw.write_bytes(samples.astype("<f4").tobytes())
    source = ("-f", "f32le", "-ar", str(rate), "-ac", str(samples.shape[1]), "-i", str(raw))
    ffmpeg.run(["-v", "error", *source, "-fflags", "+bitexact", *args, str(path)], timeout_s=60)
    raw.unlink()
    return path


def read_sound(path: Path, *, channels: int = 2) -> Samples:
    """Everything a decoder gives for the file's first audio stream."""
    args = ["-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    out = ffmpeg.run(args, timeout_s=60, output_bytes_kept=1 << 30).output
    return np.frombuffer(out, "<f4").reshape(-1, channels)


def lag_of(late: Samples, early: Samples) -> int:
    """By how many frames `late` is behind `early`, by their correlation."""
    a, b = late[:, 0].astype(np.float64), early[:, 0].astype(np.float64)
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    best = int(np.argmax(correlation))
    return best if best < size // 2 else best - size
