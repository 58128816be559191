"""The commands of shapes-turbo are there, and say what they would use by default."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from training.shapes.__main__ import main


@pytest.mark.parametrize(
    ("command", "default"), [("turbo-pairs", "16384"), ("turbo", "1350"), ("measure-turbo", "1000")]
)
def test_the_commands_are_there(command, default):
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0
    assert default in shown.output
