"""The figures of `evaluate` for people, each beside its control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from autointerp.commands.printing.tables import cell, cut, share, table

Row = tuple[str, str, str]
"""A figure's name, its value, and what stands beside it."""
_DIRECTIONS = {
    "random": "random directions",
    "activations": "activations",
    "kmeans": "k-means",
    "pca": "PCA",
    "rerandomised": "weights drawn anew",
    "raw": "raw latents",
}
"""Controls of directions, as they are printed."""


def print_evaluation(figures: Mapping[str, Any]) -> None:
    """Print the figures of one dictionary, as they are stored with the run."""
    click.echo(
        f"{figures['dictionary']}: {figures['features']} features ({figures['dead']} dead), "
        f"{figures['images']} held-out images{_unseen(figures)}"
    )
    rows = [*_truth_rows(figures), *_fine_rows(figures), *_reconstruction_rows(figures), *_splice_rows(figures)]
    table(("figure", "value", "beside it"), [*rows, *map(_score_row, figures["scores"])])


def _unseen(figures: Mapping[str, Any]) -> str:
    """Say which part of the held-out images has prompts that were harvested, where that is so."""
    unseen = figures["unseen_prompts"]
    return "" if unseen == 1 else f", of which {share(1 - unseen)} have prompts that were harvested"


def _truth_rows(figures: Mapping[str, Any]) -> list[Row]:
    """Return the figures against the ground truth, where there is one."""
    controls = figures["controls"]
    if controls is None:
        return []

    def beside(key: str) -> str:
        return ", ".join(
            f"{said} {share(controls[name][key])}" for name, said in _DIRECTIONS.items() if name in controls
        )

    rows = [("specific truth", _with_interval(figures, "specific"), beside("specific"))]
    if figures["labeled"]:
        rows += _label_rows(figures, controls)
    return [*rows, ("any truth", _with_interval(figures, "grounded"), beside("grounded"))]


def _with_interval(figures: Mapping[str, Any], key: str) -> str:
    ends = figures["intervals"].get(key)
    return share(figures[key]) + ("" if ends is None else f" ({100 * ends[0]:.0f} to {100 * ends[1]:.0f})")


_LABEL_FIGURES = {
    "exact_specific": "exact labels, specific",
    "exact": "exact labels, any truth",
    "macro_exact": "exact labels, mean over concepts",
    "gain_share_specific": "gain share, specific",
    "gain_share": "gain share, any truth",
    "macro_gain_share": "gain share, mean over concepts",
    "lenient_specific": "lenient accuracy, specific",
    "lenient": "lenient accuracy, any truth",
}
"""Figures of labels by their key, as they are printed."""


def _label_rows(figures: Mapping[str, Any], controls: Mapping[str, Any]) -> list[Row]:
    def beside(key: str) -> str:
        constant = f"constant {share(controls['constant'][key])} by `{cut(controls['constant']['names'][key], 44)}`"
        found = [constant, *(f"{name} {share(controls[name][key])}" for name in ("majority", "shuffled"))]
        ceiling = figures["repeats"].get(key.replace("lenient", "exact"))
        return ", ".join(found if ceiling is None else [*found, f"ceiling {share(ceiling)}"])

    (exact, count), *others = figures["verdicts"].items()
    said = ", ".join(f"{number} {kind}" for kind, number in others)
    return [
        *((name, _with_interval(figures, key), beside(key)) for key, name in _LABEL_FIGURES.items()),
        ("verdicts on labels", f"{count} {exact}", said + _unreadable(figures["unreadable"])),
        ("named without a truth", share(figures["truthless_named"]), "of the features that have none"),
        *_apart_rows(figures),
    ]


def _apart_rows(figures: Mapping[str, Any]) -> list[Row]:
    """Return whether names tell features apart, where the pass over features of one name was made."""
    apart, intervals = figures["apart"], figures["intervals"]
    ends = intervals.get("distinct_extensions")
    cells = str(apart["distinct_extensions"]) + ("" if ends is None else f" ({ends[0]:.0f} to {ends[1]:.0f})")
    rows = [
        (
            "distinct names",
            str(figures["distinct_names"]),
            f"{apart['distinct_before']} before features were told apart",
        ),
        ("distinct sets of cells", cells, "of names whose every word holds"),
    ]
    if figures["told_apart"] is None:
        return rows
    shuffled = figures["controls"]["shuffled"]["told_apart"]
    reach = f"of {apart['pairs']} of one name; shuffled {share(shuffled)}, some concept tells {share(apart['differ'])}"
    rows.append(("pairs told apart", _with_interval(figures, "told_apart"), reach))
    if apart["stated"]:
        beside = (
            f"of {apart['stated']} stated of a feature and one of its name; shuffled {share(apart['stated_shuffled'])}"
        )
        rows.append(("differences that hold", share(apart["stated_hold"]), beside))
    if apart["duplicates"]:
        value = _with_interval(figures | apart, "duplicates_recognised")
        beside = f"of {apart['duplicates']} answers; of others {share(apart['mistaken'])} are said to be"
        rows.append(("duplicates recognised", value, beside))
    return rows


def _unreadable(names: Mapping[str, str]) -> str:
    """Say which names cannot be read, where there are any."""
    if not names:
        return ""
    few = ", ".join(f"`{cut(name, 24)}`" for name in list(names)[:3])
    return f"; {len(names)} {'names' if len(names) > 1 else 'name'} cannot be read: {few}"


def _fine_rows(figures: Mapping[str, Any]) -> list[Row]:
    """Return the figures of the finer list of concepts, where they were asked for."""
    fine = figures["fine"]
    if fine is None:
        return []
    moved = fine["moved"]
    found = f"activations moved to other pictures {share(moved['grounded'])}, {share(moved['places'])} places"
    return [
        ("finer list: any truth", share(fine["grounded"]), found),
        ("finer list: narrower truth", share(fine["narrower"]), f"{fine['distinct']} truths that differ"),
        ("finer list: exact labels", share(fine["exact"]), f"{share(fine['exact_narrower'])} of the narrower truths"),
    ]


def _reconstruction_rows(figures: Mapping[str, Any]) -> list[Row]:
    dead_and_dense = f"{share(figures['dead_share'])}, {share(figures['dense_share'])}"
    return [
        ("FVU", cell(figures["fvu"]), f"{cell(figures['fvu_normalized'])} with every dimension scaled to 1"),
        ("explained variance", cell(figures["explained_variance"]), "mean over dimensions"),
        ("r2, mean", cell(figures["r2_mean"]), "mean squared correlation over dimensions"),
        ("L0", cell(figures["l0"]), ""),
        ("dead, dense", dead_and_dense, "of the latents, on these"),
    ]


def _splice_rows(figures: Mapping[str, Any]) -> list[Row]:
    """Return what the model loses with the dictionary spliced in, where that was measured."""
    change, error = figures["image_change"], figures["denoising_error"]
    if error is None:
        return []
    beside = f"unchanged {error['unchanged']:.4g}, zeroed {error['zeroed']:.4g}"
    return [
        ("loss recovered", share(figures["loss_recovered"]), f"denoising error {error['spliced']:.4g}, {beside}"),
        ("change of the image", cell(change["spliced"]), f"{cell(change['zeroed'])} by zeroing the layer"),
    ]


def _score_row(score: Mapping[str, Any]) -> Row:
    judge = f" by {score['judge']}" if score["judge"] else ""
    beside = f"chance {cell(score['chance'])}, shuffled labels {cell(score['shuffled'])}; {score['labels']} labels"
    if score["right_auroc"] is not None:
        span = "" if score["right_low"] is None else f" ({cell(score['right_low'])} to {cell(score['right_high'])})"
        beside += f", {score['right_labels']} exact, told from others at AUROC {cell(score['right_auroc'])}{span}"
    if score["truth_auroc"] is not None:
        auroc = cell(score["truth_auroc"])
        beside += f", tells features with a truth at AUROC {auroc}, r with precision {cell(score['precision_r'])}"
    if score["valueless"]:
        beside += f", {score['valueless']} without a value"
    if score["unscored"]:
        beside += f", {score['unscored']} of {score['trials']} trials unscored"
    return f"{score['method']} score{judge}", cell(score["value"]), beside
