"""`evaluate`: how well dictionaries rebuild their layers and, on shapes, features and labels against the truth.

Everything is measured on held-out images, of other prompts and seeds than any crop has, and beside its controls.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.db import queries
from autointerp.db.models import Dictionary
from autointerp.diffusion.describe import SHAPES
from autointerp.diffusion.layers import Layer
from autointerp.errors import UsageError
from autointerp.shapes.truth import FeatureTruth
from autointerp.shapes.verdict import (
    Collected,
    Evaluated,
    Firing,
    Truth,
    accuracy,
    choose_share,
    correlation,
    kinds,
    shuffled_accuracy,
)
from autointerp.stages.activations import generate_rounds
from autointerp.stages.context import Context, identity
from autointerp.stages.labeler_names import chosen_labelers
from autointerp.stages.plan import Plan, Step
from autointerp.stages.read import find_dictionary
from autointerp.stages.runs import find_run, finish, running
from autointerp.stages.score import score_figures
from autointerp.stages.splices import measure_splices

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.capture import Captured

VERSION = 4
"""Raised when the definition of a figure changes, so that stored results are made anew."""


@dataclass(frozen=True)
class _Evaluation:
    """One dictionary to be evaluated: what the result depends on, and the result where it is known."""

    row: Dictionary
    layer: Layer
    states: list[str]
    key: str
    config: dict[str, Any]
    known: dict[str, Any] | None

    @property
    def step(self) -> Step:
        """The plan's line."""
        detail = "against the truth" if self.config["truth"] else "reconstruction alone: the truth is not known"
        return Step("evaluate", self.row.name, self.known is None, detail, images=self.config["images"])


def run_evaluate(
    ctx: Context, targets: Sequence[tuple[str, str | None]], dry_run: bool = False, labeler: str | None = None
) -> tuple[Plan, list[dict[str, Any]]]:
    """All figures of dictionaries, each given as (layer, its name or None), from one generation pass.

    Those of labels are of the ones that count, or of one labeler's.

    What is known already is not measured again, whatever labels and scores came since. Labels and features are held
    against the truth where there is one, for what `shapes` generates; how well a dictionary rebuilds its layer is
    measured on any model.

    Raises:
        AutointerpError: Nothing is fitted at a layer.
    """
    chosen = chosen_labelers(ctx, labeler)
    planned = [_planned(ctx, find_dictionary(ctx, layer, name)) for layer, name in targets]
    plan = Plan(tuple(one.step for one in planned))
    todo = [one for one in planned if one.known is None]
    if dry_run:
        return plan, [_with_labels(ctx, one.row, one.known, chosen) for one in planned if one.known is not None]
    made: dict[str, dict[str, Any]] = {}
    if todo:
        with ctx.workspace.lock(), ExitStack() as stack:
            runs = {}
            for one in todo:
                images = one.config["images"]
                run = running(ctx.db, "evaluate", one.key, one.config, images, one.row.id)
                runs[one.key] = stack.enter_context(run)[0]
            made = _evaluate_all(ctx, todo)
            with ctx.db.session() as session:
                for one in todo:
                    row = session.get(Dictionary, one.row.id)
                    result = made[one.key]
                    row.figures = {**row.figures, **{k: result[k] for k in _FIGURES if result[k] is not None}}
                    finish(session, runs[one.key], one.row.id, result)
    return plan, [_with_labels(ctx, one.row, one.known or made[one.key], chosen) for one in planned]


def truths_of(ctx: Context, row: Dictionary) -> list[FeatureTruth | None]:
    """What each latent is truly about, as `evaluate` found it, or as it would find it; only on shapes.

    Raises:
        UsageError: The truth of the layer's cells is not known.
    """
    layer = ctx.layer_of(row)
    if not _has_truth(ctx, layer):
        raise UsageError(f"the truth of {row.name} is not known", "it is for what shapes generates in its own size")
    if (known := _planned(ctx, row).known) is not None:
        return Evaluated.from_dict(known["features_truths"]).truths
    observed, cells = _observe(ctx, [(row, layer)])
    assert cells is not None
    truth, seen = Truth(cells, (row.grid_rows, row.grid_cols)), observed[row.id]
    return truth.of(seen.own, choose_share(truth, seen.own, seen.random)).truths


def _with_labels(
    ctx: Context, row: Dictionary, result: dict[str, Any], labelers: Collection[int] | None
) -> dict[str, Any]:
    """The result with the labels and scores as they are now: they are read, not measured, so not stored with it."""
    with ctx.db.session() as session:
        labels = queries.best_labels(session, row.id, labelers)
        scores = queries.scores_of_labels(session, [best.label.id for best in labels.values()])
        latents = {f.id: f.latent_index for f in queries.features(session, row.id)}
    named = {
        latents[feature_id]: (best.label.name, queries.headline_score(scores.get(best.label.id, [])))
        for feature_id, best in labels.items()
    }
    own, found = None, {**result, "labeled": len(named)}
    if (stored := found.pop("features_truths")) is not None:
        own = Evaluated.from_dict(stored)
        names = {index: name for index, (name, _) in named.items()}
        shuffled = shuffled_accuracy(own.truths, names, ctx.settings.seed)
        found |= accuracy(own.truths, names)
        found |= {"score_precision_r": correlation(own, named)}
        found["controls"] = {**found["controls"], "shuffled": shuffled}
    found = {key: _rounded(value) for key, value in found.items()}
    return {**found, "scores": [_rounded(figures) for figures in score_figures(ctx, row, labelers, own)]}


def _planned(ctx: Context, row: Dictionary) -> _Evaluation:
    layer = ctx.layer_of(row)
    with ctx.db.session() as session:
        states = [str(f.state) for f in queries.features(session, row.id)]
    config = {
        **ctx.made_of(layer),
        "capture_steps": row.steps,
        "version": VERSION,
        "truth": _has_truth(ctx, layer),
        "harvested": ctx.available(ctx.settings.images),
        "dictionary": row.identity,
        "weights": row.weights_sha256,
        "images": ctx.settings.evaluate_images,
        "seed": ctx.settings.seed,
    }
    key = identity({"evaluate": config})
    found = find_run(ctx.db, "evaluate", key)
    known = dict(found.result) if found is not None and found.status == "done" else None
    return _Evaluation(row, layer, states, key, config, known)


def _has_truth(ctx: Context, layer: Layer) -> bool:
    """Whether the oracle can read where a layer's tokens are: in pictures that `shapes` generates, in its own size."""
    own_size = ctx.generation.size == ctx.description.defaults.size and not ctx.prompts.sizes
    own = ctx.settings.model == SHAPES and own_size and ctx.settings.images_dir is None
    return own and layer.stream == "image"


def _evaluate_all(ctx: Context, todo: Sequence[_Evaluation]) -> dict[str, dict[str, Any]]:
    observed, cells = _observe(ctx, [(one.row, one.layer) for one in todo])
    spliced = measure_splices(ctx, [(one.row, one.layer) for one in todo])
    return {one.key: _result(ctx, one, observed[one.row.id], cells, spliced[one.row.id]) for one in todo}


def _result(
    ctx: Context, one: _Evaluation, seen: Observed, cells: dict[str, np.ndarray] | None, spliced: dict[str, Any]
) -> dict[str, Any]:
    row, states, fired = one.row, one.states, seen.own.maximum > 0
    result = {
        "layer": row.layer,
        "dictionary": row.name,
        "kind": row.kind,
        "features": row.num_latents,
        "live": states.count("live") if states else int(fired.sum()),
        "dead": states.count("dead") if states else int((~fired).sum()),
        "images": ctx.settings.evaluate_images,
        **(_truth(ctx, one, seen, cells) if cells is not None and one.config["truth"] else dict.fromkeys(_OF_TRUTH)),
        **seen.figures,
        **spliced,
        "fit_seconds": row.figures.get("fit_seconds"),
    }
    # Figures of labels are made from the truths, so these stay as they are.
    return {key: value if key == "features_truths" else _rounded(value) for key, value in result.items()}


def _truth(ctx: Context, one: _Evaluation, seen: Observed, cells: dict[str, np.ndarray]) -> dict[str, Any]:
    """Features against what is true in the cells; labels are held against that whenever they are asked for."""
    truth = Truth(cells, (one.row.grid_rows, one.row.grid_cols))
    share = choose_share(truth, seen.own, seen.random)
    own, chance = truth.of(seen.own, share), truth.of(seen.random, share)
    return {
        **dict.fromkeys(_OF_TRUTH),
        "grounded": own.grounded,
        "specific": own.specific,
        "active_above": share,
        "kinds": kinds(own.truths),
        "controls": {"random": {"grounded": chance.grounded, "specific": chance.specific}},
        "features_truths": own.as_dict(),
    }


_OF_TRUTH = (
    "grounded",
    "specific",
    "label_accuracy",
    "label_accuracy_specific",
    "score_precision_r",
    "active_above",
    "kinds",
    "controls",
    "features_truths",
)
"""What is None where the truth is not known."""
_FIGURES = (
    "fvu",
    "fvu_normalized",
    "explained_variance",
    "r2_mean",
    "l0",
    "dead_share",
    "dense_share",
    "loss_recovered",
)
"""What is kept with the dictionary, for `status`."""


@dataclass(frozen=True)
class Observed:
    """A dictionary on the held-out images: where it fires and where random directions do, how well it rebuilds."""

    own: Firing
    random: Firing
    figures: dict[str, float]


def _observe(
    ctx: Context, targets: Sequence[tuple[Dictionary, Layer]]
) -> tuple[dict[int, Observed], dict[str, np.ndarray] | None]:
    """Generate the held-out images once: what was observed by dictionary id, and the oracle's reading, if any."""
    import torch

    from autointerp.diffusion.generation import generate

    oracle = None
    if any(_has_truth(ctx, layer) for _, layer in targets):
        from autointerp.shapes.oracle import Oracle

        oracle = Oracle.load()
    # Random directions know nothing of a layer but its scale, measured on a few harvested images.
    layers = list(dict.fromkeys(layer for _, layer in targets))
    steps = sorted({step for row, _ in targets for step in row.steps})
    few = generate_rounds(ctx, layers, ctx.jobs(0, 16), steps)
    observers = [_Observer(ctx, row, layer, few[layer].of_steps(row.steps).acts) for row, layer in targets]
    held_out = ctx.prompts.held_out(ctx.settings.evaluate_images, ctx.settings.seed, ctx.settings.images)
    what = observers[0].row.name if len(observers) == 1 else f"{len(observers)} dictionaries"

    def consume(captured: Captured) -> None:
        for observer in observers:
            if observer.layer == captured.layer and captured.step in observer.row.steps:
                observer.consume(captured)

    reads: list[dict[str, np.ndarray]] = []
    with ctx.progress.task(f"evaluate {what}", len(held_out), unit="image") as bar, torch.inference_mode():
        for batch, pictures in generate(
            ctx.model,
            held_out,
            ctx.generation,
            layers=layers,
            capture_steps=steps,
            consumer=consume,
            batch_size=ctx.settings.batch_size,
            decode=oracle is not None,
        ):
            if oracle is not None:
                reads.append(oracle.read(pictures))
            bar.advance(len(batch))
    cells = {name: np.concatenate([read[name] for read in reads]) for name in reads[0]} if reads else None
    return {observer.row.id: observer.observed() for observer in observers}, cells


class _Observer:
    """One dictionary with its control on the held-out images."""

    def __init__(self, ctx: Context, row: Dictionary, layer: Layer, few: torch.Tensor) -> None:
        from autointerp.dictionaries.baselines import RandomDirections
        from autointerp.dictionaries.metrics import Reconstruction
        from autointerp.dictionaries.normalize import Normalization
        from autointerp.dictionaries.storage import load_dictionary

        self.row, self.layer = row, layer
        self.dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name)).to(ctx.model.device)
        self.own, self.random = Collected(row.num_latents), Collected(row.num_latents)
        self._firsts: dict[int, int] = {}
        """Number of the first image of a batch -> that of its first cell, among all that came."""
        self._cells = 0
        self.figures = Reconstruction(row.d_in, row.num_latents)
        k = self.dictionary.k or max(1, round(row.l0 or 0))
        self.chance = RandomDirections.draw(Normalization.measure(few), row.num_latents, k, ctx.settings.seed).to(
            ctx.model.device
        )

    def consume(self, captured: Captured) -> None:
        acts, index = captured.acts.reshape(-1, self.row.d_in), captured.jobs[0].index
        if index not in self._firsts:
            self._firsts[index] = self._cells
            self._cells += len(acts)
        first = self._firsts[index]
        self.own.add(self.figures.update(self.dictionary, acts, captured.step), first)
        self.random.add(self.chance.encode(acts), first)

    def observed(self) -> Observed:
        return Observed(self.own.firing(), self.random.firing(), self.figures.figures())


def _rounded(value: Any) -> Any:
    """Four decimals, or four digits of what is small; inside dictionaries too."""
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if not isinstance(value, float):
        return value
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")
