"""The commands of the first training of shapes-vlm are there; measuring no pictures prints nothing."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from training.shapes.__main__ import main


@pytest.mark.parametrize(("command", "default"), [("vlm", "26850"), ("measure-vlm", "1000")])
def test_the_commands_are_there(command, default):
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0
    assert default in shown.output


def test_no_pictures_have_no_figures():
    done = CliRunner().invoke(main, ["measure-vlm", "--renders", "0", "--painted", "0"])
    assert done.exit_code == 0, done.output
    assert "naming" not in done.output
