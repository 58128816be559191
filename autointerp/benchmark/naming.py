"""Names held against the truths of units: the figures of the project's own ruler, with their intervals and controls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autointerp.benchmark.answers import SYNTHETIC, BenchmarkAnswers
from autointerp.benchmark.folder import answers_of
from autointerp.benchmark.submissions import read_names
from autointerp.shapes.label_controls import (
    FIGURES,
    Marking,
    constant_labels,
    majority_label,
    shuffled_labels,
    truthless_named,
)
from autointerp.shapes.label_intervals import label_intervals
from autointerp.shapes.label_verdict import LabelRuler

RULES = ("exact", "gain")
"""Rules of the figures; the lenient rule knows no alternatives."""
KEYS = tuple(key for key, figure in FIGURES.items() if figure.rule in RULES)
"""Figures of a group, by their keys in results."""


def score_names(tasks: Path, file: Path, answers: Path | None = None) -> dict[str, Any]:
    """Return the results of a file of names.

    Args:
        tasks: The folder of the tasks.
        file: JSON lines, see `read_names`.
        answers: The file of the answers; None makes them anew.

    Raises:
        UsageError: A file is not what it should be.
        AutointerpError: The answers are of other tasks.
    """
    truth = answers_of(tasks, "naming", answers)
    given = read_names(file, [unit.name for unit in truth.units])
    return {"names": file.name, **naming_results(truth, given)}


def naming_results(answers: BenchmarkAnswers, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the results of names, as JSON values.

    Args:
        answers: The answers.
        given: The name of each named unit.
    """
    seed = answers.truths.halves.seed
    groups = {}
    for group, places in answers.groups().items():
        own = answers.of(places)
        names = {at: given[unit.name] for at, unit in enumerate(own.units) if given.get(unit.name)}
        missing = sum(unit.name not in given for unit in own.units)
        whole = group == SYNTHETIC or not group.startswith(f"{SYNTHETIC}: ")
        groups[group] = {"missing": missing, **_figures(own, names, seed, whole)}
    return {"benchmark": "naming", "version": 1, "groups": groups, "units": _by_unit(answers, given)}


def _figures(own: BenchmarkAnswers, names: dict[int, str], seed: int, with_controls: bool) -> dict[str, Any]:
    """Return the figures of a group of units."""
    truths, ruler = own.truths.truths, own.truths.ruler
    marking = Marking(truths, _rules(ruler))
    intervals = label_intervals(own.truths, names, seed)
    found: dict[str, Any] = {
        "units": len(truths),
        "with_truth": sum(truth is not None for truth in truths),
        "concepts": len({truth.concept.name for truth in truths if truth is not None}),
        "named": len(names),
        **marking.of_names(names),
        "intervals": {key: intervals[key] and list(intervals[key] or ()) for key in KEYS},
        "verdicts": ruler.counts(names),
        "truthless_named": truthless_named(truths, names),
        "unreadable": ruler.unreadable(names),
    }
    if with_controls:
        without_looking = Marking(truths, _rules(ruler.on_states()))
        found["controls"] = {
            "constant": constant_labels(without_looking),
            "majority": majority_label(without_looking),
            "shuffled": shuffled_labels(marking, names, seed) if names else dict.fromkeys(KEYS, 0.0),
        }
        found["reliability"] = own.truths.halves.repeats(own.truths.concepts)
    return found


def _rules(ruler: LabelRuler) -> dict[str, Any]:
    rules = ruler.rules()
    return {name: rules[name] for name in RULES}


def _by_unit(answers: BenchmarkAnswers, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a verdict for each unit."""
    ruler, found = answers.truths.ruler, []
    for place, (unit, truth) in enumerate(zip(answers.units, answers.truths.truths, strict=True)):
        name = given.get(unit.name, "")
        found.append(
            {
                "unit": unit.name,
                "form": unit.form,
                "base_rate": unit.base_rate,
                "noise": unit.noise,
                "truth": None if truth is None else truth.concept.name,
                "name": name,
                "verdict": None if truth is None else ruler.verdict(name, truth.concept.name),
                "gain_share": None if truth is None else float(ruler.gain_share(name)[place]),
            }
        )
    return found
