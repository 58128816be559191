"""A harvest that is killed at any moment ends in the rows of one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.sqlite
def test_kills_at_random_moments_change_no_row() -> None:
    kills = os.environ.get("AUTOINTERP_KILLS", "5")
    command = [sys.executable, "-m", "benchmarks.kills", kills]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= int(kills)
    assert found["harvests"] >= 1
    assert found["crops"] > 500


@pytest.mark.sqlite
def test_faults_and_kills_while_a_remote_model_is_asked() -> None:
    # It fails by itself where a feature is lost, a reason is not true or an answer is paid for twice.
    command = [sys.executable, "-m", "benchmarks.chaos", "2", "40", "16"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 2
    assert found["features"] == 40
    assert found["lost"] <= 16
    assert found["faults"]
