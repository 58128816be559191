"""A picture with the features that are active in it, for people: values for `--json`, and an overlaid picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autointerp.crops.panel import Panel, before_after
from autointerp.crops.render import MARKED, render_crop, render_glow
from autointerp.diffusion.word_maps import normalized

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.crops.geometry import Box
    from autointerp.views.explained_words import ExplainedWord

_COLUMNS = 4
"""Panels in a row of the overlaid picture."""
_SIDE = 320
"""Side of a panel in pixels, at least."""


@dataclass(frozen=True)
class ActiveFeature:
    """A feature that is active in a picture.

    Attributes:
        feature: `DICTIONARY:INDEX`.
        layer: Alias of the layer, or its hookpoint.
        name: Name of its label; empty where it has none.
        explanation: Explanation of its label.
        score: The one figure that stands for the label.
        activation: Its maximum over cells and steps.
        strength: The maximum as a share of the largest activation ever harvested; None where nothing was harvested.
        cells: Share of cells where it is active, at the step of the maximum.
        cell: (row, col) of the maximum.
        step: Denoising step of the maximum, from 0.
        box: (left, top, right, bottom) around the cells of at least half the maximum, in pixels.
        activation_map: The feature over the whole grid at that step, float32 [rows, cols].
    """

    feature: str
    layer: str
    name: str
    explanation: str
    score: float | None
    activation: float
    strength: float | None
    cells: float
    cell: tuple[int, int]
    step: int
    box: Box
    activation_map: np.ndarray

    @property
    def where(self) -> str:
        """The ninth of the picture in which its maximum lies, in words."""
        names = (("top", "middle", "bottom"), ("left", "center", "right"))
        row, col = (
            words[min(3 * at // size, 2)]
            for words, at, size in zip(names, self.cell, self.activation_map.shape, strict=True)
        )
        return f"{row} {col}"

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `features` in `explain --json`."""
        return {
            "feature": self.feature,
            "layer": self.layer,
            "name": self.name,
            "explanation": self.explanation,
            "score": self.score,
            "activation": self.activation,
            "strength": self.strength,
            "cells": self.cells,
            "step": self.step,
            "cell": list(self.cell),
            "box": list(self.box),
        }


@dataclass(frozen=True)
class ExplainedPicture:
    """A picture with the features that are active in it, the strongest first.

    Attributes:
        source: The prompt, or the path of the picture, as it was given.
        kind: Whether `source` is a prompt or a picture.
        seed: Seed of the noise.
        picture: The whole picture, RGB.
        features: The active features.
        words: The words of the prompt with their maps; None where they were not asked for.
    """

    source: str
    kind: Literal["prompt", "picture"]
    seed: int
    picture: Image.Image
    features: tuple[ActiveFeature, ...]
    words: tuple[ExplainedWord, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the stable keys of `explain --json`; `words` is there where it was asked for."""
        found = {
            "source": self.source,
            "kind": self.kind,
            "seed": self.seed,
            "size": list(self.picture.size),
            "features": [one.as_dict() for one in self.features],
        }
        return found if self.words is None else {**found, "words": [one.as_dict() for one in self.words]}

    def overlay(self) -> Image.Image:
        """Render the picture, and beside it the same picture under the map of each feature, and of each word."""
        side = max(_SIDE, *self.picture.size)
        whole = (0, 0, *self.picture.size)
        panels = [Panel(f"the {self.kind}, seed {self.seed}", render_crop(self.picture, whole, mark=False, side=side))]
        for one in self.features:
            strength = "" if one.strength is None else f"  {one.strength:.0%}"
            heat = render_glow(self.picture, one.activation_map, side)
            panels.append(Panel(f"{one.name or one.feature}{strength}", heat))
        rows = _in_rows(self.source, panels)
        if self.words:
            # An even share of the attention is no sign of a place, so the least of each map stays dark.
            heats = [(one.word, normalized(one.map[None])[0]) for one in self.words]
            glows = [
                Panel(word, render_glow(self.picture, np.where(heat < MARKED, 0, heat), side)) for word, heat in heats
            ]
            rows += _in_rows("Where the model attends to each word", glows)
        layers = ", ".join(dict.fromkeys(one.layer for one in self.features))
        note = f"Features of {layers}, with their activation as a share of the largest that was harvested."
        return before_after(rows, "What is active", note if self.features else "No labeled feature is active.")


def _in_rows(title: str, panels: Sequence[Panel]) -> list[tuple[str, Sequence[Panel]]]:
    """Part panels into rows, of which the first has the title."""
    return [(title if not i else "", panels[i : i + _COLUMNS]) for i in range(0, len(panels), _COLUMNS)]
