"""The demo album is whole, the same every time, and its continuous piece is cut without a seam."""

import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media import compose
from media.score import HUES, PIECES, Melody, Piece
from media.tags import read_tags
from tests.support.sound import read_sound


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.titles[0])
def test_every_part_fits_its_piece(piece: Piece) -> None:
    for part in piece.parts:
        if isinstance(part, Melody):
            beats = sum(held for _, held in part.notes)
            assert beats == (len(piece.chords) - part.start) * piece.beats
    for drum in piece.drums:
        assert len(drum.line) == 4 * piece.beats
    seconds = len(piece.chords) * piece.beats * 60 / piece.bpm + piece.tail_s
    assert 20 <= seconds / len(piece.titles) <= 60


def test_there_are_six_pieces_or_more_by_artists_that_share_tags() -> None:
    assert sum(len(piece.titles) for piece in PIECES) >= 6
    assert [len(piece.titles) for piece in PIECES].count(2) == 1
    by_artist: dict[str, set[str]] = {}
    for piece in PIECES:
        by_artist.setdefault(piece.artist, set()).update(piece.genres)
    assert len(by_artist) >= 2
    for artist, genres in by_artist.items():
        assert any(genres & others for other, others in by_artist.items() if other != artist)


@pytest.fixture(scope="module")
def cut_piece() -> Piece:
    return next(piece for piece in PIECES if len(piece.titles) == 2)


@pytest.fixture(scope="module")
def written(cut_piece: Piece, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return compose.write_piece(cut_piece, tmp_path_factory.mktemp("demo"))


def test_two_files_joined_are_the_piece_to_the_sample(cut_piece: Piece, written: list[Path]) -> None:
    whole = np.rint(compose.play(cut_piece).T * 32_767)
    joined = np.concatenate([read_sound(path) for path in written]) * 32_768
    assert np.array_equal(joined, whole)
    # The cut is in the middle of sound, so that a gap would be heard.
    at = len(read_sound(written[0]))
    assert np.sqrt(np.mean((whole[at - 2000 : at + 2000] / 32_767) ** 2)) > 0.02


def test_nothing_is_clipped_and_both_sides_sound_different(cut_piece: Piece) -> None:
    sound = compose.play(cut_piece)
    assert np.max(np.abs(sound)) == pytest.approx(compose.PEAK)
    assert np.sqrt(np.mean((sound[0] - sound[1]) ** 2)) > 0.01
    assert abs(float(np.mean(sound))) < 0.001
    assert np.max(np.abs(sound[:, -10:])) < 0.001


def test_the_files_are_tagged_with_a_cover(cut_piece: Piece, written: list[Path]) -> None:
    for number, (path, title) in enumerate(zip(written, cut_piece.titles, strict=True), cut_piece.number):
        tagged = read_tags(path)
        assert (tagged.tags.title, tagged.tags.artists) == (title, (cut_piece.artist,))
        assert (tagged.tags.album, tagged.tags.track_number) == (cut_piece.album, number)
        assert tagged.tags.genres == cut_piece.genres
        assert tagged.cover
        assert Image.open(io.BytesIO(tagged.cover)).size == (compose.COVER_PX, compose.COVER_PX)


def test_the_same_score_gives_the_same_files(cut_piece: Piece, written: list[Path], tmp_path: Path) -> None:
    again = compose.write_piece(cut_piece, tmp_path)
    assert [sha256(p.read_bytes()).digest() for p in again] == [
        sha256(p.read_bytes()).digest() for p in written
    ]
    assert len({compose.draw_cover(album) for album in HUES}) == len(HUES)


def test_an_album_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / compose.MARKER).write_text(compose.EDITION)
    played: list[str] = []
    assert compose.compose_demo(tmp_path, on_piece=played.append) == tmp_path
    assert played == []
