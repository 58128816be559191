"""Every row of the registry is a class with the parts of an experiment, and a command with its options."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest

from autointerp.commands.experiments import experiment
from autointerp.experiments.kinds import EXPERIMENTS

PARTS = ("configuration", "units", "cost", "measure", "figures", "plots", "pictures", "plan")


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_a_row_is_an_experiment(name: str) -> None:
    made: Any = EXPERIMENTS[name].load()
    assert all(callable(getattr(made, part)) for part in PARTS)
    assert made.kind == name
    command = experiment.commands[name]
    assert isinstance(command, click.Command)
    keys = {parameter.name for parameter in command.params}
    assert {option.name for option in EXPERIMENTS[name].options} < keys
    assert {"out", "dry_run", "as_json", "device"} < keys


def test_the_registry_is_light() -> None:
    code = "import autointerp.experiments.kinds, sys; print({'torch', 'numpy', 'matplotlib'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
