"""Features for people: one with its crops, those a search finds, and those that are active in a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from autointerp.commands.printing.tables import cell, cut, say, share, sparkline, table
from autointerp.texts import visible

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.views.explained import ExplainedPicture
    from autointerp.views.explained_words import ExplainedWord
    from autointerp.views.feature_view import AtomSource, CropPlace, FeatureScore, FeatureView, LabelerAnswer
    from autointerp.views.search.hits import Hit

_CROPS = 12
"""Crops in the table under a feature."""
_NEIGHBOURS = 3


def print_feature(view: FeatureView) -> None:
    """Print a feature with its label, scores and strongest crops."""
    cells = "text tokens" if view.stream == "text" else "cells"
    click.echo(f"{view.feature}  {view.state}, fires in {view.density:.2%} of {cells}")
    _print_label(view)
    for score in view.scores:
        _print_score(score)
    if len(view.answers) > 1:
        _print_answers(view.answers)
    _print_activations(view)
    for other in view.neighbours[:_NEIGHBOURS]:
        say(f"fires with {other.feature}  {other.name}  (Jaccard {other.jaccard:.2f})")
    _print_places(view)
    for note in view.assumed:
        say(f"assumed when its dictionary was imported: {note}")


def _print_label(view: FeatureView) -> None:
    label = view.label
    if label is None:
        click.echo(f"no label yet: run `autointerp label --layer ... --feature {view.index}`")
        return
    if label.status == "ok":
        say(f"{label.name}  ({label.labeler}, confidence {label.confidence:.2f})")
    else:
        say(f"{label.status}  ({label.labeler})  {label.error}".rstrip())
    if label.explanation:
        say(label.explanation)
    if label.told_apart_from:
        before = f"  (named {label.name_before} before)" if label.name_before else ""
        say(f"told apart from {', '.join(label.told_apart_from)}: {label.difference}{before}")
    if label.same_as:
        say(f"the same as {', '.join(label.same_as)}, by that labeler")


def _print_score(score: FeatureScore) -> None:
    value = "no value" if score.value is None else f"{score.value:.3f}"
    interval = "" if score.ci_low is None else f"  [{score.ci_low:.3f}, {score.ci_high:.3f}]"
    say(f"{score.method} score {value}{interval}  {score.note}".rstrip())


def _print_answers(answers: Sequence[LabelerAnswer]) -> None:
    """Print what several labelers say, side by side; a star stands before the label that counts."""
    methods = list(dict.fromkeys(score.method for answer in answers for score in answer.scores))
    rows = []
    for answer in answers:
        label = answer.label
        values = {score.method: score.value for score in answer.scores}
        name = label.name if label.status == "ok" else label.status
        figures = (cell(values.get(method)) for method in methods)
        star = "*" if answer.counts else ""
        rows.append((star, label.labeler, name, cell(label.confidence), *figures, label.explanation or label.error))
    table(("", "labeler", "name", "confidence", *methods, "explanation"), rows)


def _print_activations(view: FeatureView) -> None:
    """Print how strongly, and at which denoising steps, the feature fires."""
    if view.histogram:
        first, last = view.histogram[0].edge, view.histogram[-1].edge
        blocks = sparkline([level.cells for level in view.histogram])
        click.echo(f"activations from {first:.3g} to above {last:.3g}: {blocks}")
    if len(view.steps) > 1:
        click.echo("by step: " + ", ".join(f"{step}: {part:.0%}" for step, part in view.steps.items()))


def _print_places(view: FeatureView) -> None:
    """Print where the feature's atom is from, and where the feature fires."""
    noun = "token" if view.stream == "text" else "cell"
    if view.atom is not None:
        place = f"step {view.atom.step}, {noun} {_place(view.atom, noun)}, seed {view.atom.seed}"
        say(f"atom of {place}: {view.atom.prompt}")
    firing = [crop for crop in view.crops if crop.role != "negative"]
    rows = [
        (crop.role, crop.split, cell(crop.activation), _place(crop, noun), str(crop.image), crop.prompt)
        for crop in firing[:_CROPS]
    ]
    if rows:
        table(("role", "split", "activation", noun, "image", "prompt"), rows)


def _place(place: AtomSource | CropPlace, noun: str) -> str:
    """Return the cell, or the number of the text token followed by the token itself where that is known."""
    row, col = place.cell or ("-", "-")
    if noun == "cell":
        return f"{row},{col}"
    return str(col) if place.token is None else f"{col} {place.token}"


def print_hits(
    hits: Sequence[Hit],
    show: Callable[[Image.Image], None] | None = None,
    strips: Mapping[int, Image.Image] | None = None,
) -> None:
    """Print a search's hits, a feature a line.

    Args:
        hits: The features found, best first.
        show: Prints a picture, where the terminal can.
        strips: Feature id -> picture of its crops, printed below the feature's line.
    """
    names = ("feature", "name", "score", "density", "explanation", "best prompt")
    rows = [
        (h.feature, h.name or "-", cell(h.score), f"{h.density:.2%}", cut(h.explanation, 48), cut(h.prompt, 64))
        for h in hits
    ]
    if show is None or strips is None:
        table(names, rows)
        return
    for hit, row in zip(hits, rows, strict=True):
        click.echo(visible("  ".join(row[:4])))
        for line in row[4:]:
            if line:
                click.echo(visible(f"  {line}"))
        if hit.feature_id in strips:
            show(strips[hit.feature_id])


def print_explained(explained: ExplainedPicture) -> None:
    """Print the features that are active in a picture, the strongest first."""
    rows = [
        (one.feature, one.name or "-", cell(one.score), cell(one.activation), share(one.strength), share(one.cells))
        + (one.where, one.explanation)
        for one in explained.features
    ]
    table(("feature", "name", "score", "activation", "strength", "cells", "where", "explanation"), rows)


def print_words(words: Sequence[ExplainedWord]) -> None:
    """Print where the model attends to each word of a prompt."""
    rows = [
        (one.word, f"{one.attention:.4f}", f"{one.cell[0]},{one.cell[1]}", ",".join(map(str, one.box))) for one in words
    ]
    table(("word", "attention", "cell", "box"), rows)
