from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.evidence.vocabulary import candidate_phrases, load_vocabulary, parse_vocabulary
from autointerp.shapes.scenes import BACKGROUNDS, COLORS, SHAPES, SIZES, TEXTURES
from autointerp.shapes.vocabulary import shapes_vocabulary
from autointerp.worlds import Vocabulary


def test_at_least_500_phrases_are_foreign_to_the_world() -> None:
    world = {*COLORS, *SHAPES, *TEXTURES, *SIZES, *BACKGROUNDS, "object", "edge", "inside"}
    foreign = [p for p in load_vocabulary() if world.isdisjoint(p.split())]
    assert len(foreign) >= 500
    assert len(foreign) == len(load_vocabulary()), set(load_vocabulary()) - set(foreign)


def test_world_words_and_pairs_are_there_once() -> None:
    phrases = candidate_phrases(shapes_vocabulary())
    assert len(set(phrases)) == len(phrases)
    assert {"red", "red circle", "striped star", "small square", "sand background", "edge", "object"} <= set(phrases)
    assert set(shapes_vocabulary().phrases).isdisjoint(load_vocabulary())
    assert "red" not in candidate_phrases(Vocabulary())


def test_parse_skips_comments_and_doubles() -> None:
    assert parse_vocabulary("# a\n\nCat\n dog # barks\ncat\n") == ("cat", "dog")


def test_bad_files_are_one_line_errors(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("# nothing\n")
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (empty, binary, tmp_path / "missing.txt"):
        with pytest.raises(AutointerpError) as caught:
            load_vocabulary(path)
        assert "\n" not in caught.value.message
