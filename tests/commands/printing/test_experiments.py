from __future__ import annotations

import pytest

from autointerp.commands.printing.experiments import print_figures
from autointerp.experiments.protocol import Figure


def test_a_table_a_name_with_its_controls_marked(capsys: pytest.CaptureFixture[str]) -> None:
    print_figures(
        [
            Figure("fvu", "step 0", "random", 0.9, n=4, control=True),
            Figure("fvu", "step 0", "sae", 0.25, 0.2, 0.3, 8),
            Figure("l0", "step 0", "sae", None),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "fvu"
    assert "random (control)" in lines[0]
    assert lines[1].split() == ["step", "0", "0.250", "(0.200", "to", "0.300)", "0.900", "8"]
    assert lines[2] == ""
    assert lines[4].split() == ["step", "0", "-", "0"]
