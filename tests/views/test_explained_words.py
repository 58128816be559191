"""`explain --words`: the words of a prompt beside the features of its picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp import Workspace
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.views.explain import ExplainRequest, explain
from autointerp.views.explained import ExplainedPicture
from autointerp.views.explained_words import ExplainedWord, PictureWords

PROMPT = "large red solid circle top left, small blue solid star bottom right, sand background"
Cli = Callable[..., Any]


def test_the_words_lie_where_their_objects_are(labeled: Path, small_parts: None) -> None:
    """The shapes model paints what its prompt says, so an object's words lie in the object's quarter."""
    ctx = Context(Workspace(labeled))
    found = explain(ctx, ExplainRequest(PROMPT, words=True, seed=3))
    assert found.words is not None
    assert [one.word for one in found.words] == PROMPT.replace(",", "").split()
    assert all(PROMPT[one.start :].startswith(one.word) for one in found.words)
    by_word = {one.word: one for one in found.words}
    for word, low, high in (("red", 0, 6), ("blue", 6, 12), ("star", 6, 12)):
        row, col = by_word[word].cell
        assert low <= row < high
        assert low <= col < high
    assert by_word["red"].map.shape == (12, 12)
    plain = explain(ctx, ExplainRequest(PROMPT, seed=3))
    assert plain.words is None
    np.testing.assert_array_equal(np.asarray(plain.picture), np.asarray(found.picture))
    assert [one.activation for one in plain.features] == [one.activation for one in found.features]
    ctx.workspace.close()


def test_the_command_prints_and_draws_them(labeled: Path, cli: Cli, tmp_path: Path, small_parts: None) -> None:
    shown = cli("-w", labeled, "explain", PROMPT, "--words", "-o", tmp_path / "words.png")
    assert shown.code == 0, shown.err
    assert any(line.split()[:1] == ["blue"] for line in shown.out.splitlines())
    plain = cli("-w", labeled, "explain", PROMPT, "-o", tmp_path / "plain.png")
    assert plain.code == 0
    heights = [Image.open(tmp_path / f"{name}.png").height for name in ("words", "plain")]
    assert heights[0] > heights[1]
    told = json.loads(cli("-w", labeled, "explain", PROMPT, "--words", "--json").out)
    assert list(told) == ["source", "kind", "seed", "size", "features", "words"]
    assert list(told["words"][0]) == ["word", "start", "attention", "cell", "box", "grid", "map"]
    assert np.array(told["words"][0]["map"]).shape == tuple(told["words"][0]["grid"])


def test_a_picture_without_a_caption_has_no_words(labeled: Path, tmp_path: Path, cli: Cli) -> None:
    Image.new("RGB", (96, 96), "red").save(tmp_path / "red.png")
    refused = cli("-w", labeled, "explain", tmp_path / "red.png", "--words")
    assert refused.code == 2
    assert "no caption" in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_a_model_whose_attention_is_not_known(small: Context) -> None:
    from autointerp.diffusion.families import GenericFamily
    from autointerp.diffusion.jobs import ImageJob

    ctx = Context(small.workspace)
    described = dataclasses.replace(ctx.description, family=GenericFamily("OtherPipeline", "transformer"))
    ctx.__dict__["description"] = described
    with pytest.raises(UsageError, match="OtherPipeline attends"):
        PictureWords(ctx, ImageJob(0, "a red circle", 1))


def test_places() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2], heat[2, 2] = 0.5, 0.3
    words = (ExplainedWord("red", 2, 0.05, (1, 2), (16, 8, 24, 24), heat),)
    picture = ExplainedPicture("a red", "prompt", 0, Image.new("RGB", (32, 32)), (), words)
    assert picture.as_dict()["words"][0]["box"] == [16, 8, 24, 24]
    assert picture.overlay().height > dataclasses.replace(picture, words=None).overlay().height


def test_a_box_is_around_the_strong_half() -> None:
    from autointerp.views.explained_words import _around

    on = np.zeros((4, 4), bool)
    on[1, 1], on[2, 3] = True, True
    assert _around(on, (32, 16)) == (8, 4, 32, 12)
    assert _around(np.zeros((4, 4), bool), (32, 16)) == (0, 0, 32, 16), "an even map has no place"
