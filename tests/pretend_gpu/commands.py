"""What every command that runs a model must do on the pretend device, for modules that name a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.dictionaries.kinds import FITTED
from autointerp.labeling.judging import SCORES
from tests.pretend_gpu.sides import CPU, DENSITY, TABLES, Sides, alike, pictures

STRONGEST = "SELECT max(activation) FROM crops"
CHANGES: dict[str, tuple[str, int, Callable[[Any], Any]]] = {
    "features whose maxima are 1% more": ("features", 4, lambda value: value * 1.01),
    "features whose means are 1% more": ("features", 5, lambda value: value * 1.01),
    "features of twice the density": ("features", DENSITY, lambda value: value * 2),
    "crops of another image": ("crops", 2, lambda image: image + 100),
    "crops of another step": ("crops", 3, lambda step: step + 1),
    "crops of another cell": ("crops", 6, lambda col: col + 1),
    "crops that are 0.1% stronger": ("crops", 14, lambda value: value * 1.001),
}
"""What a wrong device could do to a column: its table, its place, and the change of its values."""
PROMPT = "a large red circle left of a small blue star"


class Commands:
    """The commands, in the order of their work. The fixtures are those of a module: conftest.py."""

    def test_dictionaries(self, fitted: Sides) -> None:
        assert {row[1] for row in fitted.rows("dictionaries")} == set(FITTED)

    def test_features_and_crops(self, sides: Sides) -> None:
        assert len(sides.rows("features")) > 32 * (len(FITTED) - 1)
        assert len(sides.rows("crops")) > 500

    def test_a_wrong_judge_is_seen(self, labeled: Sides) -> None:
        rows = labeled.query(labeled.paths[CPU], TABLES["scores"])
        changed = [(*row[:6], row[6] + 1, *row[7:]) if sum(row[6:10]) else row for row in rows]
        with pytest.raises(AssertionError):
            alike(rows, changed, "scores")

    @pytest.mark.parametrize("change", CHANGES)
    def test_differences_are_seen(self, change: str, sides: Sides) -> None:
        table, column, by = CHANGES[change]
        rows = sides.query(sides.paths[CPU], TABLES[table])
        changed = [(*row[:column], row[column] and by(row[column]), *row[column + 1 :]) for row in rows]
        with pytest.raises(AssertionError):
            alike(rows, changed, table)

    def test_labels(self, labeled: Sides) -> None:
        rows = labeled.rows("labels")
        assert {row[2] for row in rows} == {"clip", "local-vlm", "human"}

    def test_scores(self, labeled: Sides) -> None:
        rows = labeled.rows("scores")
        assert {row[3] for row in rows} == set(SCORES)
        for method in ("gain", "fuzzing"):
            assert any(sum(row[6:10]) for row in rows if row[2:5] == ("human", method, 0)), f"no answers: {method}"

    def test_evaluation(self, labeled: Sides, topk: str) -> None:
        found = labeled.same("-q", "evaluate", "--layer", "mid", "--dictionary", topk, "--json")
        assert found["loss_recovered"] is not None

    def test_steering(self, sides: Sides, topk: str) -> None:
        (latent, *_) = [row[1] for row in sides.rows("features") if row[0] == topk and row[2] == "live"]
        more = ("--strength", "4", "--ablate", "--steps", "0:1", "--box", "0,0,3,3", "-o", "{w}/steered.png")
        sides.run("steer", f"{topk}:{latent}", "--prompt", PROMPT, *more)
        one, other = (np.asarray(Image.open(path / "steered.png"), int) for path in sides.paths.values())
        assert np.abs(one - other).max() <= 2

    def test_explaining(self, labeled: Sides, topk: str) -> None:
        assert labeled.same("explain", PROMPT, "--all", "--json")
        assert labeled.same("explain", next(pictures(labeled.folder).iterdir()), "--all", "--json")

    def test_searching(self, labeled: Sides, topk: str) -> None:
        (latent, *_) = [row[1] for row in labeled.rows("labels")]
        picture = next(pictures(labeled.folder).iterdir())
        for asked in (("red circle",), ("--image", picture), ("--like", f"{topk}:{latent}")):
            printed = labeled.run("search", *asked, "--dictionary", topk, "-n", "100", "--json")
            one, other = ({row["feature"]: row["similarity"] for row in found} for found in printed.values())
            assert one
            assert one == pytest.approx(other, abs=2e-3)  # pictures differ by a step of a color here and there

    @pytest.mark.parametrize("invert", [False, True], ids=["noised", "inverted"])
    def test_real_pictures(
        self, invert: bool, settings: str, tmp_path: Path, small_parts: None, cli: Any, query: Any
    ) -> None:
        if invert:
            settings = settings.replace("steps = 2\ncapture_steps = [1]", "steps = 4\ncapture_steps = [2]")
        given = f'images_dir = "{pictures(tmp_path, 3 if invert else 8)}"\ninvert = {str(invert).lower()}\n{settings}'
        sides = Sides(tmp_path, cli, query).make(given)
        sides.run("-q", "fit", "--layer", "mid")
        if not invert:
            # A fit on so few cells makes more of the last digits.
            assert sides.rows("dictionaries", 100)
            sides = sides.levelled(tmp_path / "levelled")
        sides.run("-q", "harvest", "--layer", "mid")
        if not invert:
            assert len(sides.rows("crops", 20)) > 30
            found = sides.run("-q", "evaluate", "--layer", "mid", "--json")
            errors = [one["denoising_error"] for one in found.values()]
            assert errors[0] == pytest.approx(errors[1], rel=1e-2)
            for one, error in zip(found.values(), errors, strict=True):
                # Of random weights a layer that is set to zero may do no harm, and then there is nothing to recover.
                assert (one["loss_recovered"] is not None) == (error["zeroed"] > error["unchanged"])
        else:
            # An inversion ends at a residual of 1e-4: activations differ by as much, and some latents fire elsewhere.
            sides.rows("dictionaries", 10_000)
            strongest = [sides.query(path, STRONGEST)[0][0] for path in sides.paths.values()]
            assert strongest[0] == pytest.approx(strongest[1], rel=1e-2)
            sides.run("explain", next(pictures(tmp_path).iterdir()), "--all", "--invert", "--json")

    def test_the_text_stream(self, settings: str, tmp_path: Path, small_parts: None, cli: Any, query: Any) -> None:
        sides = Sides(tmp_path, cli, query).make(settings)
        sides.run("-q", "fit", "--layer", "mid", "--stream", "text")
        ((name, *_),) = sides.rows("dictionaries")
        sides = sides.levelled(tmp_path / "levelled")
        sides.run("-q", "harvest", "--layer", "mid", "--dictionary", name)
        assert len(sides.rows("crops")) > 50
