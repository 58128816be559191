from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autointerp.benchmark.answers import BenchmarkAnswers, joined
from autointerp.benchmark.recipe import Benchmark
from autointerp.errors import AutointerpError


def test_answers_survive_their_file(benchmark_made: Benchmark, tmp_path: Path) -> None:
    own = benchmark_made.answers
    own.write(tmp_path / "answers.json")
    read = BenchmarkAnswers.read(tmp_path / "answers.json")
    assert read.units == own.units
    assert read.truths.truths == own.truths.truths
    assert read.digest == own.digest
    names = [truth.concept.name for truth in own.truths.truths if truth is not None]
    for name in names[:6]:
        assert np.array_equal(read.truths.ruler.gain_share(name), own.truths.ruler.gain_share(name))


def test_other_files_are_no_answers(tmp_path: Path) -> None:
    for text in ("{}", "[1]", "no JSON", '{"units": [], "concepts": [], "truths": [[0]]}'):
        (tmp_path / "answers.json").write_text(text)
        with pytest.raises(AutointerpError, match="holds no answers"):
            BenchmarkAnswers.read(tmp_path / "answers.json")


def test_noisy_units_are_still_about_their_concept(benchmark_made: Benchmark) -> None:
    answers = benchmark_made.answers
    for unit, truth in zip(answers.units, answers.truths.truths, strict=True):
        if unit.form == "nothing":
            assert truth is None
        else:
            assert truth is not None
            assert truth.precision == pytest.approx(1 - unit.noise, abs=0.12)


def test_some_answers_are_those_of_all(benchmark_made: Benchmark) -> None:
    own = benchmark_made.answers
    some = own.of([4, 1])
    assert [unit.name for unit in some.units] == ["synthetic:4", "synthetic:1"]
    assert some.truths.truths == [own.truths.truths[4], own.truths.truths[1]]
    for name in ("red", "object", "inside"):
        assert some.truths.ruler.gain_share(name) == pytest.approx(own.truths.ruler.gain_share(name)[[4, 1]])


def test_groups_are_of_all_units_and_of_each_form(benchmark_made: Benchmark) -> None:
    groups = benchmark_made.answers.groups()
    assert list(groups) == [
        "synthetic",
        "synthetic: A",
        "synthetic: A or B",
        "synthetic: A and not B",
        "synthetic: noisy A, 0.3 moved",
        "synthetic: nothing",
    ]
    assert sorted(place for group, places in groups.items() if ":" in group for place in places) == list(range(20))


def test_verdicts_on_the_same_pictures_are_joined(benchmark_made: Benchmark) -> None:
    own = benchmark_made.answers
    whole = joined(own.of([2, 3]).truths, own.of([5]).truths)
    assert whole.truths == own.of([2, 3, 5]).truths.truths
    assert whole.ruler.gain_share("large") == pytest.approx(own.of([2, 3, 5]).truths.ruler.gain_share("large"))
    assert np.array_equal(whole.halves.rows, own.truths.halves.rows[:, [2, 3, 5]])
