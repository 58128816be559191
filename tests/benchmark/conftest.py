"""One small benchmark of rendered scenes, made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.benchmark.folder import write_benchmark
from autointerp.benchmark.recipe import Benchmark, BenchmarkRecipe, make_benchmark
from autointerp.benchmark.synthetic import SyntheticPlan

PLAN = SyntheticPlan(each=2, base_rates=(0.04, 0.15), noises=(0.3,))
RECIPE = BenchmarkRecipe(seed=3, shown=30, held_out=50, synthetic=PLAN, crops=4)


@pytest.fixture(scope="session")
def benchmark_made() -> Benchmark:
    return make_benchmark(RECIPE)


@pytest.fixture(scope="session")
def naming_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("naming") / "tasks"
    write_benchmark("naming", replace(RECIPE), out, None)
    return out
