from __future__ import annotations

import json

import numpy as np
import pytest

from autointerp.benchmark.recipe import Benchmark, BenchmarkRecipe, make_benchmark
from autointerp.benchmark.synthetic import SyntheticPlan
from autointerp.errors import UsageError


def test_a_recipe_survives_json() -> None:
    recipe = BenchmarkRecipe(7, 10, 20, SyntheticPlan(1, (0.05,), (0.2, 0.4)), 3)
    assert BenchmarkRecipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_units_are_in_an_order_that_says_nothing(benchmark_made: Benchmark) -> None:
    units = benchmark_made.answers.units
    assert [unit.name for unit in units] == [f"synthetic:{number}" for number in range(20)]
    forms = [unit.form for unit in units]
    assert forms != sorted(forms)
    assert len(set(forms)) == 5


def test_truths_are_of_held_out_pictures_alone(benchmark_made: Benchmark) -> None:
    seen = benchmark_made.answers.truths.seen
    assert seen.images == 50
    assert seen.active.image.max() < 50
    held_out = benchmark_made.firing.cell >= 30 * 144
    assert len(seen.active.row) == np.count_nonzero(held_out)


def test_what_cannot_be_made_is_said() -> None:
    with pytest.raises(UsageError, match="no unit can be made"):
        make_benchmark(BenchmarkRecipe(0, 2, 2, SyntheticPlan(1, (0.5,), ())))
