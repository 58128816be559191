"""Words of prompts, and the tokens that each is made of."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.diffusion import words
from autointerp.diffusion.words import WordReader, words_of
from autointerp.errors import AutointerpError
from tests.diffusion.helpers import Folders, Models


def test_words_of_a_prompt() -> None:
    prompt = "A cat's well-lit café, 2 dogs -- and_so “on”"
    assert [one.text for one in words_of(prompt)] == ["A", "cat's", "well-lit", "café", "2", "dogs", "and", "so", "on"]
    assert all(prompt[one.start : one.end] == one.text for one in words_of(prompt))
    assert words_of(" ,.!") == []


@pytest.mark.parametrize("name", ["sd", "flux", "pixart"])
def test_the_tokens_of_a_word_spell_it(tiny_model: Models, name: str) -> None:
    """`zebra` is in no tokenizer here: CLIP reads it letter by letter, T5 as one unknown token."""
    model = tiny_model(name)
    reader = WordReader(model.description)
    found = reader.read("large zebra, large star")
    assert [one.text for one in found.words] == ["large", "zebra", "large", "star"]
    part = {"flux": "tokenizer_2"}.get(name, "tokenizer")
    tokenizer = getattr(model.pipeline, part)
    ids = tokenizer("large zebra, large star", padding="max_length", max_length=28).input_ids
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert found.tokens.shape == (len(tokens), 4)
    assert found.tokens.sum(1).max() == 1, "no token is of two words"
    spelled = ["".join(np.array(tokens)[column]).replace("</w>", "").replace("▁", "") for column in found.tokens.T]
    assert [text for text in spelled if "<unk>" not in text][:1] == ["large"]
    assert spelled[0] == spelled[2] == "large"
    assert spelled[3] == "star"
    assert spelled[1] in ("zebra", "<unk>")
    np.testing.assert_allclose(found.shares.sum(0), 1)


def test_both_texts_of_sd3_are_read(tiny_model: Models) -> None:
    """77 tokens of CLIP, then those of T5; a word has tokens in both."""
    found = WordReader(tiny_model("sd3").description).read("red star")
    assert found.tokens.shape == (77 + 28, 2)
    for column in found.tokens.T:
        assert column[:77].sum() == column[77:].sum() == 1


def test_sd3_without_its_third_tokenizer(tiny_folder: Folders, tiny_model: Models, tmp_path: Path) -> None:
    """Its pipeline then gives the model empty text in the place of T5's."""
    folder = Path(shutil.copytree(tiny_folder("sd3"), tmp_path / "bare"))
    shutil.rmtree(folder / "tokenizer_3")
    bare = dataclasses.replace(tiny_model("sd3").description, source=str(folder))
    found = WordReader(bare).read("red star")
    assert found.tokens.shape == (77 + 28, 2)
    assert found.tokens[77:].sum() == 0


def test_words_that_are_cut_off_are_left_out(tiny_model: Models) -> None:
    found = WordReader(tiny_model("flux").description, 4).read("large red solid circle and a star")
    assert [one.text for one in found.words] == ["large", "red", "solid"]
    assert found.tokens.shape == (4, 3)
    assert WordReader(tiny_model("flux").description).read("").tokens.shape == (28, 0)


def test_pixart_reads_small_letters(tiny_model: Models) -> None:
    found = WordReader(tiny_model("pixart").description).read("  Large RED circle ")
    assert [(one.text, one.start) for one in found.words] == [("large", 0), ("red", 6), ("circle", 10)]


def test_a_tokenizer_without_offsets(tiny_model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        is_fast = False

    def load(*_: Any) -> Any:
        return Slow()

    monkeypatch.setattr(words, "load_tokenizer", load)
    with pytest.raises(AutointerpError, match="does not tell which characters"):
        WordReader(tiny_model("sd").description).read("red")
