"""Renders that no trainer saw, and the shipped models that read them."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.clip import ShapesClip
from autointerp.shapes.concepts import Concept, concept_masks
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import ATTRIBUTES, Render, render, sample_scene
from training.shapes.measure import held_out_renders


@pytest.fixture(scope="session")
def renders() -> list[Render]:
    return held_out_renders(40, seed=77)


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle.load()


@pytest.fixture(scope="session")
def clip() -> ShapesClip:
    return ShapesClip.load()


@pytest.fixture(scope="session")
def world() -> tuple[dict[str, np.ndarray], list[Concept], np.ndarray]:
    """The exact values of the cells of 200 renders, with the concepts and their masks."""
    rng = np.random.default_rng(0)
    seen = [render(sample_scene(rng)).cells() for _ in range(200)]
    cells = {name: np.stack([r[name] for r in seen]) for name in ATTRIBUTES}
    return cells, *concept_masks(cells)
