"""Word maps and prompts as inputs of readouts: one for each word of a vocabulary."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autointerp.diffusion.word_maps import WordMaps
from autointerp.diffusion.words import words_of
from autointerp.experiments import prompt_words
from autointerp.experiments.prompt_words import PromptWords

READER: Any = SimpleNamespace(attention=SimpleNamespace(as_read=str.strip))


def maps_of(prompt: str, maps: Any) -> WordMaps:
    return WordMaps(tuple(words_of(prompt)), np.array(maps, np.float32))


def test_the_vocabulary_is_that_of_the_prompts() -> None:
    found = PromptWords(READER, ["A red star", " a star, a circle"])
    assert found.vocabulary == ("a", "circle", "red", "star")
    assert PromptWords(READER, []).vocabulary == ()


def test_of_many_words_those_of_most_prompts_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_words, "MOST_WORDS", 2)
    assert PromptWords(READER, ["star red", "star blue blue blue", "red"]).vocabulary == ("red", "star")


def test_attention_is_scaled_for_each_word_and_0_where_the_prompt_lacks_it() -> None:
    words = PromptWords(READER, ["blue red star"])
    one = maps_of("Star unheard star", [[[1, 2], [3, 5]], [[9, 0], [0, 0]], [[1, 4], [1, 1]]])
    other = maps_of("red", [[[7, 7], [7, 8]]])
    found = words.attended([one, other], (2, 2))
    # A word that is said twice has the larger attention of both: 1, 4, 3, 5.
    assert found[:4].tolist() == [[0, 0, 0], [0, 0, 0.75], [0, 0, 0.5], [0, 0, 1]]
    assert found[4:].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_attention_comes_on_the_grid_that_is_asked_for() -> None:
    words = PromptWords(READER, ["red"])
    fine = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    found = words.attended([maps_of("red", fine), maps_of("", np.zeros((0, 4, 4)))], (2, 2))
    np.testing.assert_allclose(found[:, 0], [0, 0.2, 0.8, 1, 0, 0, 0, 0], atol=1e-6)


def test_a_prompt_says_its_words_in_every_cell() -> None:
    words = PromptWords(READER, ["blue red star"])
    assert words.said(["Red, red star unheard", ""], 2).tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]]
