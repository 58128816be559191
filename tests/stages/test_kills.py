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
    assert found["kills"] >= int(kills) and found["harvests"] >= 1 and found["crops"] > 500
