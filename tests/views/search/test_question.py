"""A question is one thing, and says its words; a feature without a name has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.views.search.question import (
    RouteDoesNotApply,
    SearchQuestion,
    embed_picture,
    find_reference,
    words_of,
)

from ..conftest import NAME


@pytest.mark.parametrize("given", [{}, {"text": "red", "like": "d:1"}, {"image": Path("x.png"), "like": "d:1"}])
def test_a_question_is_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="needs one of"):
        SearchQuestion(**given)


def test_a_question_in_words() -> None:
    assert SearchQuestion("red 'dot'").phrase == "\"red 'dot'\""
    assert SearchQuestion(like="d:1").phrase == "what is like d:1"
    assert SearchQuestion(image=Path("x.png")).phrase == "what is like x.png"


def test_words_of_a_text_of_a_name_and_of_a_picture(small: Context) -> None:
    assert words_of(SearchQuestion("Red, dot!"), None) == ["red", "dot"]
    like = SearchQuestion(like=f"{NAME}:0")
    reference = find_reference(small, f"{NAME}:0")
    assert (reference.id, reference.is_dead, reference.label_name) == (1, False, "red circle")
    assert words_of(like, reference) == ["red", "circle"]
    with pytest.raises(RouteDoesNotApply, match="a picture has no words"):
        words_of(SearchQuestion(image=Path("x.png")), None)


@pytest.mark.parametrize(("latent", "reason"), [(1, "is dead and has no label"), (3, ":3 has no label")])
def test_a_feature_without_a_name_has_no_words(small: Context, latent: int, reason: str) -> None:
    name = f"{NAME}:{latent}"
    with pytest.raises(RouteDoesNotApply, match=reason):
        words_of(SearchQuestion(like=name), find_reference(small, name))


class Mean:
    """Embeds a picture as its mean colour."""

    name, dim = "mean", 3

    def embed_texts(self, texts: Any) -> np.ndarray:
        raise NotImplementedError

    def embed_images(self, images: Any) -> np.ndarray:
        return np.stack([np.asarray(image).mean((0, 1)) for image in images])


def test_a_picture_is_embedded_or_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "red.png")
    assert embed_picture(Mean(), tmp_path / "red.png").tolist() == [255, 0, 0]
    with pytest.raises(AutointerpError, match="cannot read .*nowhere.png: No such file"):
        embed_picture(Mean(), tmp_path / "nowhere.png")
