"""The registry of ways: each row can be made, and is light to read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from autointerp.experiments.ways import WAYS
from tests.experiments.ways.pairs import identity_sae


@pytest.mark.parametrize("name", list(WAYS))
def test_each_row_makes_a_way(name: str) -> None:
    kind = WAYS[name]
    way = kind.load()(identity_sae() if kind.basis else None)
    assert callable(way.edits)
    assert kind.strengths[0] == 1.0
    assert kind.sparse or not kind.basis


def test_the_registry_is_light() -> None:
    code = "import autointerp.experiments.ways, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
