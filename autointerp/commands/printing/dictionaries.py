"""Dictionaries for people: how far each is, who labeled it, and how like another it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from autointerp.commands.printing.tables import cell, say, share, table

if TYPE_CHECKING:
    from autointerp.views.compare import Comparison
    from autointerp.views.compared_models import ModelComparison
    from autointerp.views.label_list import ListedLabel
    from autointerp.views.labelers import LabelerSummary
    from autointerp.views.status import Spending, Status

_COUNTS = ("features", "live", "dead", "dense", "labels", "uninterpretable", "failed", "scores")
_FIGURES = ("fvu", "explained_variance", "r2_mean", "l0", "loss_recovered")


def print_status(status: Status) -> None:
    """Print what a workspace holds, a dictionary a line."""
    click.echo(f"workspace {status.workspace}, model {status.model}")
    if not status.dictionaries:
        click.echo("no dictionaries yet: run `autointerp label --layer mid`")
        return
    rows = []
    for row in status.dictionaries:
        counts = (row.features, row.live, row.dead, row.dense, row.labels, row.uninterpretable, row.failed, row.scores)
        figures = (cell(row.figures.get(name)) for name in _FIGURES)
        rows.append((row.dictionary, *map(str, counts), *figures))
    table(("dictionary", *_COUNTS, *(name.replace("_", " ") for name in _FIGURES)), rows)
    for one in status.dictionaries:
        for note in one.assumed:
            say(f"{one.dictionary}, assumed when it was imported: {note}")
    if status.calls.calls:
        click.echo(_spending(status.calls))


def _spending(calls: Spending) -> str:
    """Say what remote models cost so far, and what the features without a label would cost."""
    unpriced = f" and {calls.unpriced} answers of unknown price" if calls.unpriced else ""
    spent = "free" if not calls.spent and calls.answers and not unpriced else f"${calls.spent:.4f} spent{unpriced}"
    text = f"{calls.calls} calls, {calls.answers} answered: {spent}"
    if not calls.remaining:
        return text
    cost = "at an unknown price" if calls.expected is None else f"about ${calls.expected:.4f} expected"
    return f"{text}; {calls.remaining} features left, {cost}"


def print_labelers(summaries: Sequence[LabelerSummary]) -> None:
    """Print how much each labeler said of each dictionary, and how well."""
    if not summaries:
        click.echo("no labels yet: run `autointerp label --layer mid`")
        return
    methods = list(dict.fromkeys(method for one in summaries for method in one.scores))
    rows = []
    for one in summaries:
        counts = (one.labels, one.uninterpretable, one.failed, one.counting)
        rows.append((one.dictionary, one.labeler, *map(str, counts), *(cell(one.scores.get(m)) for m in methods)))
    table(("dictionary", "labeler", "labels", "uninterpretable", "failed", "counting", *methods), rows)


def print_labels(labels: Sequence[ListedLabel]) -> None:
    """Print the labels of a dictionary, with what tells features of nearly the same name apart."""
    if not labels:
        click.echo("no labels yet: run `autointerp label --layer mid`")
        return
    rows = []
    for one in labels:
        # Of a dictionary's own features the numbers say enough.
        apart, same = (
            ", ".join(feature.rpartition(":")[2] for feature in some) for some in (one.told_apart_from, one.same_as)
        )
        name = one.name if one.status == "ok" else one.status
        rows.append((one.feature, name, one.labeler, one.method, cell(one.score), one.difference, apart, same))
    table(("feature", "name", "labeler", "score", "value", "only this one", "of", "same as"), rows)


def print_comparison(comparison: Comparison) -> None:
    """Print two dictionaries beside each other."""
    jaccard = comparison.jaccard
    rows = [
        ("features", *map(str, comparison.features)),
        ("mean largest cosine", *map(cell, comparison.mean_cosine)),
        ("with a match above 0.9", *map(share, comparison.above)),
        ("each other's nearest", str(comparison.mutual), ""),
        ("shared sources of atoms (Jaccard)", "no atoms" if jaccard is None else cell(jaccard), ""),
    ]
    table(("", *comparison.dictionaries), rows)
    click.echo()
    pairs = [(*p.features, cell(p.cosine), *(name or "-" for name in p.names)) for p in comparison.pairs]
    table(("feature", "nearest", "cosine", "name", "name of the nearest"), pairs)


_LINES = 40
"""Features of a comparison of models that are printed, of all changes together."""


def print_model_comparison(found: ModelComparison) -> None:
    """Print two models beside each other, by what one dictionary finds in them."""
    table(
        (found.dictionary, *found.models),
        [("FVU", *map(cell, found.fvu)), ("L0", *map(cell, found.l0))],
    )
    click.echo()
    rows = []
    for change, count in found.counts.items():
        by_chance = found.by_chance.get(change)
        swapped = "" if by_chance is None else f"{by_chance[0]:.1f} ({by_chance[1]:.0f} to {by_chance[2]:.0f})"
        rows.append((change, str(count), str(found.alone.get(change, "")), swapped))
    table((f"features on {found.models[1]}", "differ", "each by itself", "so with pictures swapped"), rows)
    click.echo()
    share_of = max(_LINES // len(found.counts), 1)
    shown = [one for change in found.counts for one in [x for x in found.changed if x.change == change][:share_of]]
    lines = []
    for one in shown:
        ends = "" if one.low is None or one.high is None else f"({one.low:+.2%} to {one.high:+.2%})"
        shares = (f"{part:.2%}" for part in one.density)
        lines.append((one.change, one.feature, one.name or "-", *shares, f"{one.difference:+.2%} {ends}".strip()))
    if lines:
        table(("", "feature", "name", *(f"cells, {name}" for name in found.models), "difference"), lines)
    else:
        say(f"no feature differs surely on {found.images} pictures")
