"""The benchmarks run, and compare what is comparable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_interval_of_the_median():
    from benchmarks.pairs import Row, median_interval

    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0, 0.75)
    low, high, coverage = median_interval([float(i) for i in range(6)])
    assert (low, high) == (0.0, 5.0) and coverage == pytest.approx(1 - 2 / 64)
    # A table of the sign test: for n = 15 the 4th and the 12th value, 96.5%.
    low, high, coverage = median_interval([float(i) for i in range(1, 16)])
    assert (low, high) == (4.0, 12.0) and coverage == pytest.approx(0.965, abs=1e-3)
    assert median_interval([2.0]) == (2.0, 2.0, 0.0)
    row = Row.of("b", "f", "s", [2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert (row.ratio, row.low, row.high, row.ours, row.other) == (2.0, 2.0, 3.0, 4.0, 2.0)


def test_turns_are_taken():
    from benchmarks.pairs import interleave

    seen = []
    interleave(3, lambda: seen.append("a") or {}, lambda: seen.append("b") or {})
    assert "".join(seen) == "abbaab"


def test_both_collectors_keep_the_same_crops():
    from benchmarks.collector import Stored, Streamed, codes

    streamed, stored = Streamed(), Stored()
    for numbers, code in codes(64):
        streamed.update(numbers, code)
        stored.update(numbers, code)
    ours, other = streamed.finish(), stored.finish()
    assert len(ours) > 10_000 and sorted(ours) == sorted(other)


def test_the_command_prints_a_row_each():
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", "startup", "collector"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    rows = json.loads(done.stdout)
    assert [row["benchmark"] for row in rows] == ["startup", "collector", "collector"]
    assert all(row["ratio"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in rows)


@pytest.mark.slow
def test_harvest_benchmark_runs():
    from benchmarks import harvest

    rows = harvest.run(quick=True)
    assert [row.benchmark for row in rows] == ["harvest", "harvest"]
    assert rows[0].ours <= rows[1].ours
