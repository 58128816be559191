"""Labels of units, right ones and ones broken in known ways, and how well anyone's values tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.benchmark.answers import BenchmarkAnswers
from autointerp.benchmark.folder import answers_of
from autointerp.benchmark.submissions import read_values
from autointerp.shapes.broken_names import BREAKS, Break, NameWords, broken
from autointerp.shapes.concepts import all_concepts
from autointerp.shapes.label_intervals import clustered_auroc

_RELATIONS: dict[str, str] = {"too broad": "too broad", "too narrow": "too narrow"}
"""Ways whose name must be in that relation to the truth; in the other ways it must not be exact."""


@dataclass(frozen=True)
class OfferedLabel:
    """A label of a unit.

    Attributes:
        name: What tasks and values call it.
        place: Place of the unit.
        text: What it says.
        way: How it is broken; None for the right one.
    """

    name: str
    place: int
    text: str
    way: Break | None


def offered_labels(answers: BenchmarkAnswers) -> list[OfferedLabel]:
    """Return the labels of all units with a truth, in an order that says nothing; the same each time."""
    words_of = {concept.name: NameWords.of(concept) for concept in all_concepts()}
    own, found = answers.truths, list[tuple[int, str, Break | None]]()
    rng = np.random.default_rng((own.halves.seed, 79))
    truths = {at: truth.concept.name for at, truth in enumerate(own.truths) if truth is not None}
    parts = {at: _parts(name) for at, name in truths.items()}
    others = [words_of[some[0]] for some in parts.values()]
    for at, (first, *rest) in parts.items():
        words, said = words_of[first], [str(words_of[second]) for second in rest[1:]]

        def joined(text: str, said: list[str] = said, rest: list[str] = rest) -> str:
            return " ".join([text, *rest[:1], *said])

        found.append((at, joined(str(words)), None))
        texts = {way: str(name) for way, name in broken(words, others, rng).items()}
        alone = {"or": "too narrow", "not": "too broad"}
        for way in BREAKS:
            whole = way in ("another feature's", "random") or (bool(rest) and alone[rest[0]] == way)
            text = str(words) if rest and alone[rest[0]] == way else texts.get(way)
            if text is not None and _is_broken(own.ruler.verdict(text if whole else joined(text), truths[at]), way):
                found.append((at, text if whole else joined(text), way))
    order = rng.permutation(len(found)).tolist()
    return [OfferedLabel(f"label:{number}", *found[at]) for number, at in enumerate(order)]


def _parts(name: str) -> list[str]:
    """Split the name of a truth into its concepts, and what joins them."""
    for joined in ("or", "not"):
        first, found, second = name.partition(f" {joined} ")
        if found:
            return [first, joined, second]
    return [name]


def _is_broken(verdict: str, way: Break) -> bool:
    return verdict == _RELATIONS[way] if way in _RELATIONS else verdict != "exact"


def offered_tasks(answers: BenchmarkAnswers, units: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a task for each label, of the tasks of its units."""
    return [{"label": label.name, "name": label.text, **units[label.place]} for label in offered_labels(answers)]


def score_values(tasks: Path, file: Path, answers: Path | None = None) -> dict[str, Any]:
    """Return the results of a file of values.

    Args:
        tasks: The folder of the tasks.
        file: JSON lines, see `read_values`.
        answers: The file of the answers; None makes them anew.

    Raises:
        UsageError: A file is not what it should be.
        AutointerpError: The answers are of other tasks.
    """
    truth = answers_of(tasks, "scoring", answers)
    labels = offered_labels(truth)
    given = read_values(file, [label.name for label in labels])
    return {"values": file.name, **scoring_results(truth, labels, given)}


def scoring_results(
    answers: BenchmarkAnswers, labels: Sequence[OfferedLabel], given: Mapping[str, float]
) -> dict[str, Any]:
    """Return the results of values of labels, as JSON values."""
    lengths = {label.name: -float(len(label.text.split())) for label in labels}
    base = {label.text: -float(answers.truths.ruler.extension(label.text).weight.mean()) for label in labels}
    rare = {label.name: base[label.text] for label in labels}
    return {
        "benchmark": "scoring",
        "version": 1,
        "labels": len(labels),
        "missing": sum(label.name not in given for label in labels),
        "ways": _ways(answers, labels, given),
        "controls": {"shortest": _ways(answers, labels, lengths), "rarest": _ways(answers, labels, rare)},
    }


def _ways(
    answers: BenchmarkAnswers, labels: Sequence[OfferedLabel], given: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Return the AUROC of right labels against those of each way, and against all wrong ones."""
    found = {}
    for way in ("all", *BREAKS):
        wrong = [label for label in labels if label.way is not None and way in ("all", label.way)]
        # Each way is held against the right labels of the units that could be broken so.
        places = {label.place for label in wrong}
        right = [label for label in labels if label.way is None and label.place in places]
        if right:
            found[way] = _auroc(answers, [*right, *wrong], given)
    return found


def _auroc(answers: BenchmarkAnswers, labels: Sequence[OfferedLabel], given: Mapping[str, float]) -> dict[str, Any]:
    """Return an AUROC with its interval over concepts; a label without a value counts as told wrong."""
    low, high = min(given.values(), default=0.0) - 1, max(given.values(), default=0.0) + 1
    right = np.array([label.way is None for label in labels])
    values = np.array([given.get(label.name, low if label.way is None else high) for label in labels])
    truths = [answers.truths.truths[label.place] for label in labels]
    clusters = ["" if truth is None else truth.concept.name for truth in truths]
    auroc, least, most = clustered_auroc(values, right, clusters, answers.truths.halves.seed)
    return {
        "auroc": auroc,
        "interval": None if least is None else [least, most],
        "right": int(right.sum()),
        "wrong": int((~right).sum()),
    }
