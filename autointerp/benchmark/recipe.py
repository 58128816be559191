"""Making a benchmark: its pictures, its units and their answers, from a recipe that gives the same ones each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from autointerp.benchmark.answers import SYNTHETIC, BenchmarkAnswers, BenchmarkUnit, synthetic_truths
from autointerp.benchmark.scenes import BenchmarkPictures, rendered_pictures
from autointerp.benchmark.shown import ShownUnit
from autointerp.benchmark.synthetic import SyntheticPlan, UnitMaker, firing_of
from autointerp.crops.records import ACTIVE_SHARE
from autointerp.errors import UsageError
from autointerp.shapes.held_out import HeldOutCells
from autointerp.shapes.verdict import Firing


@dataclass(frozen=True)
class BenchmarkRecipe:
    """All that a benchmark is made of.

    Attributes:
        seed: Seed of pictures, units and draws.
        shown: Pictures that tasks may show.
        held_out: Pictures that answers are found on.
        synthetic: Which synthetic units there are.
        crops: Pictures shown of each unit, at most.
    """

    seed: int = 0
    shown: int = 500
    held_out: int = 1000
    synthetic: SyntheticPlan = SyntheticPlan()
    crops: int = 20

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> BenchmarkRecipe:
        """Return what `as_dict` was called on."""
        values = {field.name: stored[field.name] for field in fields(cls)}
        plan = values["synthetic"]
        synthetic = SyntheticPlan(plan["each"], tuple(plan["base_rates"]), tuple(plan["noises"]))
        return cls(**{**values, "synthetic": synthetic})


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, with its answers.

    Attributes:
        recipe: What it was made of.
        pictures: The pictures, those that are shown first.
        firing: Where units fire in them, in the order of the answers' units.
        answers: What the units are about.
        missing: Of which synthetic units there are fewer than asked for, see `SyntheticPlan.missing`.
        features: What is shown of the units that are features, which come last.
    """

    recipe: BenchmarkRecipe
    pictures: BenchmarkPictures
    firing: Firing
    answers: BenchmarkAnswers
    missing: tuple[str, ...] = ()
    features: tuple[ShownUnit, ...] = ()


def make_benchmark(recipe: BenchmarkRecipe) -> Benchmark:
    """Make a benchmark.

    Raises:
        UsageError: No unit can be made.
    """
    return synthetic_benchmark(recipe, rendered_pictures(recipe.shown, recipe.held_out, recipe.seed), recipe.seed)


def synthetic_benchmark(recipe: BenchmarkRecipe, pictures: BenchmarkPictures, halves: int) -> Benchmark:
    """Make a benchmark of synthetic units on some pictures.

    Args:
        recipe: What it is made of; of its numbers of pictures, those of `pictures` count.
        pictures: The pictures.
        halves: Seed of the half-samples of the held-out pictures.

    Raises:
        UsageError: No unit can be made.
    """
    made = UnitMaker(dict(pictures.cells), pictures.shown, recipe.seed).units(recipe.synthetic)
    if not made:
        raise UsageError("no unit can be made", "give more --images, or other --base-rate")
    # The order says nothing of a unit's form.
    order = np.random.default_rng((recipe.seed, 71)).permutation(len(made)).tolist()
    forms = [made[at][0] for at in order]
    firing = firing_of([made[at][1] for at in order])
    held_out = np.arange(pictures.count) >= pictures.shown
    active = firing.active(ACTIVE_SHARE, held_out, pictures.grid)
    truths = synthetic_truths(forms, HeldOutCells(pictures.held_out, active), halves)
    units = tuple(
        BenchmarkUnit(f"{SYNTHETIC}:{number}", SYNTHETIC, form.form, form.base_rate, form.noise)
        for number, form in enumerate(forms)
    )
    missing = tuple(recipe.synthetic.missing(forms))
    return Benchmark(recipe, pictures, firing, BenchmarkAnswers(units, truths), missing)
