"""Options of a registry's row become options of a command."""

from __future__ import annotations

import click
import pytest

from autointerp.commands.experiment_options import declared
from autointerp.experiments.kinds import ExperimentOption


def command(*options: ExperimentOption) -> tuple[click.Command, dict[str, object]]:
    seen: dict[str, object] = {}

    @click.command()
    def made(**given: object) -> None:
        seen.update(given)

    for option in reversed(options):
        made = declared(option)(made)
    return made, seen


def test_each_type_is_read_as_it_says() -> None:
    made, seen = command(
        ExperimentOption("words", "word", many=True, default=(), words=("a", "b")),
        ExperimentOption("base_rate", "number", default=0.5),
        ExperimentOption("quick", "flag", default=False),
        ExperimentOption("concepts", "text", many=True, argument=True),
    )
    made.main(["x", "y", "--word", "a", "--word", "b", "--base-rate", "2", "--quick"], standalone_mode=False)
    assert seen == {"words": ("a", "b"), "base_rate": 2.0, "quick": True, "concepts": ("x", "y")}


def test_a_word_that_is_no_choice_is_refused() -> None:
    made, _ = command(ExperimentOption("words", "word", many=True, default=(), words=("a",)))
    with pytest.raises(click.BadParameter):
        made.main(["--word", "c"], standalone_mode=False)
