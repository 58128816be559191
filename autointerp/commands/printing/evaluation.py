"""The figures of `evaluate` for people, each beside its control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from autointerp.commands.printing.tables import cell, share, table

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

    def of_labels(key: str, old: str) -> Row:
        said = "label accuracy, specific" if key.endswith("specific") else "label accuracy, all grounded"
        blind = ", ".join(f"{name} {share(controls[name][key])}" for name in ("constant", "majority"))
        return said, share(figures[old]), f"labels shuffled {share(controls['shuffled'][old])}, {blind}"

    return [
        ("grounded (any truth)", share(figures["grounded"]), beside("grounded")),
        ("specific truth", share(figures["specific"]), beside("specific")),
        of_labels("lenient_specific", "label_accuracy_specific"),
        of_labels("lenient", "label_accuracy"),
        ("best constant name", controls["constant"]["names"]["lenient"], "given to every feature, without looking"),
        ("named without a truth", share(figures["truthless_named"]), "of the features that have none"),
        ("score against precision, r", cell(figures["score_precision_r"]), ""),
    ]


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
    if score["truth_auroc"] is not None:
        auroc = cell(score["truth_auroc"])
        beside += f", tells features with a truth at AUROC {auroc}, r with precision {cell(score['precision_r'])}"
    if score["valueless"]:
        beside += f", {score['valueless']} without a value"
    if score["unscored"]:
        beside += f", {score['unscored']} of {score['trials']} trials unscored"
    return f"{score['method']} score{judge}", cell(score["value"]), beside
