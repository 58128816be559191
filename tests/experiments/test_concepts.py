"""Concepts of a known world, and phrases of any other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp import Workspace
from autointerp.errors import UsageError
from autointerp.experiments import concepts
from autointerp.experiments.concepts import PhraseConcepts, ReadPicture, ShapesConcepts, concepts_of
from autointerp.experiments.kinds import EXPERIMENTS
from autointerp.project.context import Context
from autointerp.worlds import SceneFacts

OPEN: Any = SimpleNamespace(
    world=SimpleNamespace(scenes=None), description=SimpleNamespace(name="some model"), model=None
)
BLANK = Image.new("RGB", (8, 8))


def test_all_21_values_can_be_erased(labeled: Path) -> None:
    found = concepts_of(Context(Workspace(labeled)), (), (), (12, 12))
    assert isinstance(found, ShapesConcepts)
    assert sum(len(words) for words in found.groups.values()) == 21
    assert found.place("orange") == ("color", 1)
    assert found.place("checkered") == ("background", 3)
    with pytest.raises(UsageError, match="no concept 'ornge'.*orange"):
        found.place("ornge")


def test_of_a_known_world_no_phrase_is_looked_for(labeled: Path) -> None:
    ctx = Context(Workspace(labeled))
    says = "shapes-turbo is known, so no phrase is looked for: leave out --phrase"
    with pytest.raises(UsageError, match=says):
        concepts_of(ctx, ("red",), ("dog",), (12, 12))
    for name in ("probe", "emergence", "transfer"):
        given = {"layer": "mid", "layers": ("mid",), "dictionary": None, "images": 4, "steps": (), "phrases": ("dog",)}
        with pytest.raises(UsageError, match=says):
            EXPERIMENTS[name].load().plan(ctx, {**given, "at": () if name == "transfer" else None})


def test_of_an_unknown_world_a_concept_is_named() -> None:
    with pytest.raises(UsageError, match="not known what is in pictures of some model: name a concept"):
        concepts_of(OPEN, (), (), (4, 4))


def phrase_facts(**cells: list[int]) -> ReadPicture:
    """A picture of four cells: for each phrase those in which it holds."""
    found = {name: np.full((2, 2), -1, np.int64) for name in ("cat", "hat")}
    for name, on in cells.items():
        found[name].reshape(-1)[on] = 0
    return ReadPicture(BLANK, SceneFacts(found, (), None, bool(cells)))


def test_what_is_found_before_and_after_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    known = PhraseConcepts(OPEN, ["cat", "hat"], (2, 2))
    monkeypatch.setattr(concepts, "latent_distances", lambda *_: np.array([[[9.0, 0.1], [0.1, 0.9]]]))
    (one,) = known.counted("cat", [phrase_facts(cat=[0], hat=[1, 2])], [phrase_facts(hat=[2])])
    assert (one.had, one.gone, one.valid) == (1, 1, 1)
    assert (one.same_attribute, one.attribute) == (1, 2)
    assert (one.same_others, one.others) == (2, 3)
    cells = known.cells(phrase_facts(cat=[3]), (2, 2))
    assert cells["cat"].tolist() == [1, 1, 1, 0]
    assert known.without("A cat, two cats and a catalog", "cat") == "A , two and a catalog"
