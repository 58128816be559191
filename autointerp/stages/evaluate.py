"""`evaluate`: on the shapes world, labels and features against the ground truth, beside their controls.

Everything is measured on held-out images: other prompts and seeds than any crop has. The share of its maximum above
which a feature counts as active is chosen on one part of them, and all figures come from the other part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.db import queries
from autointerp.db.models import Dictionary
from autointerp.errors import AutointerpError
from autointerp.shapes.truth import (
    ActiveCells,
    Concept,
    FeatureTruth,
    concept_masks,
    feature_precisions,
    feature_truths,
    names_truth,
)
from autointerp.stages.context import Context, identity
from autointerp.stages.fit import layer_activations
from autointerp.stages.plan import Plan, Step
from autointerp.stages.read import find_dictionary
from autointerp.stages.runs import find_run, finish, running

if TYPE_CHECKING:
    from autointerp.diffusion.capture import Captured

SHARES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Shares of a feature's maximum that are tried as the threshold of being active."""
CHANCE = 0.1
"""Specific features of random directions over those of the dictionary, at most, where the threshold is chosen."""
_CHOOSING = 0.5
"""Part of the held-out images on which the threshold is chosen."""
VERSION = 1
"""Raised when the definition of a figure changes, so that stored results are made anew."""


@dataclass(frozen=True)
class Firing:
    """Where features of one dictionary fire: int32/float32 arrays [entries], each (feature, cell) at most once."""

    num_features: int
    feature: np.ndarray
    cell: np.ndarray
    """Image * rows * cols + row * cols + col."""
    act: np.ndarray
    maximum: np.ndarray
    """float32 [num_features], over all images here."""

    def active(self, share: float, keep: np.ndarray, grid: tuple[int, int]) -> ActiveCells:
        """Cells above `share` of the feature's maximum, in the images of the mask `keep` [images]."""
        tokens = grid[0] * grid[1]
        image = self.cell // tokens
        on = (self.act > share * self.maximum[self.feature]) & keep[image]
        place = np.cumsum(keep) - 1
        cell = self.cell[on] % tokens
        return ActiveCells(self.num_features, self.feature[on], place[image[on]], cell // grid[1], cell % grid[1])


@dataclass(frozen=True)
class Evaluated:
    """A dictionary's features against the truth: one truth (or none) a feature, and their precisions."""

    truths: list[FeatureTruth | None]
    precisions: np.ndarray
    """float64 [features, concepts], nan for a silent feature."""
    concepts: list[Concept]

    @property
    def grounded(self) -> float:
        """Share of all features with any truth."""
        return sum(t is not None for t in self.truths) / max(len(self.truths), 1)

    @property
    def specific(self) -> float:
        """Share of all features whose truth is neither a background nor plain object."""
        return sum(t is not None and t.concept.specific for t in self.truths) / max(len(self.truths), 1)


class Truth:
    """The held-out images with what is true in their cells, parted into choosing and measuring ones."""

    def __init__(self, cells: dict[str, np.ndarray], grid: tuple[int, int]) -> None:
        count = len(cells["part"])
        self.grid = grid
        self.choosing = np.arange(count) < round(count * _CHOOSING)
        self.concepts, self._chosen_on = concept_masks({name: v[self.choosing] for name, v in cells.items()})
        _, self._measured_on = concept_masks({name: v[~self.choosing] for name, v in cells.items()})

    def tried(self, firing: Firing, share: float) -> float:
        """Share of features with a specific truth on the choosing images, at this threshold."""
        active = firing.active(share, self.choosing, self.grid)
        truths = feature_truths(active, self.concepts, self._chosen_on)
        return sum(t is not None and t.concept.specific for t in truths) / firing.num_features

    def of(self, firing: Firing, share: float) -> Evaluated:
        """Every feature's truth on the measuring images."""
        active = firing.active(share, ~self.choosing, self.grid)
        truths = feature_truths(active, self.concepts, self._measured_on)
        return Evaluated(truths, feature_precisions(active, self._measured_on), self.concepts)


def choose_share(truth: Truth, own: Firing, random: Firing) -> float:
    """The threshold of being active, for the dictionary and its control alike.

    Of the shares of the maximum at which random directions get at most a tenth of the specific features that the
    dictionary gets, counted on the choosing images, the one at which it gets most. Near 1 even a random direction
    fires on a few cells that are alike, so without that bound the figure would mostly count chance. Where no share
    keeps the bound, the one at which chance gets the smallest part.
    """
    found = [(truth.tried(own, share), truth.tried(random, share)) for share in SHARES]
    kept = [i for i, (mine, chance) in enumerate(found) if chance <= CHANCE * mine]
    if kept:
        return SHARES[max(kept, key=lambda i: found[i][0])]
    return SHARES[int(np.argmin([chance / mine if mine else np.inf for mine, chance in found]))]


def run_evaluate(
    ctx: Context, layer_name: str, dictionary: str | None = None, dry_run: bool = False
) -> tuple[Plan, dict[str, Any]]:
    """All figures of a labeled layer, from the stored result where nothing changed.

    Raises:
        AutointerpError: Not the shapes world, or nothing is fitted at the layer.
    """
    if ctx.settings.model != "shapes":
        raise AutointerpError(
            f"the truth of {ctx.settings.model} is not known", "evaluate works on the model shapes alone"
        )
    row, layer = find_dictionary(ctx, layer_name, dictionary), ctx.layer(layer_name)
    with ctx.db.session() as session:
        labels = queries.best_labels(session, row.id)
        scores = queries.scores_of_labels(session, [best.label.id for best in labels.values()])
        features = {f.id: (f.latent_index, f.state) for f in queries.features(session, row.id)}
        named = {
            features[feature_id][0]: (best.label.name, queries.headline_score(scores.get(best.label.id, [])))
            for feature_id, best in labels.items()
        }
    config = {
        **ctx.made_of(layer),
        "version": VERSION,
        "harvested": ctx.settings.images,
        "dictionary": row.identity,
        "weights": row.weights_sha256,
        "labels": sorted([index, name, score] for index, (name, score) in named.items()),
        "images": ctx.settings.evaluate_images,
        "seed": ctx.settings.seed,
    }
    key = identity({"evaluate": config})
    known = find_run(ctx.db, "evaluate", key)
    done = known is not None and known.status == "done"
    images = ctx.settings.evaluate_images
    plan = Plan((Step("evaluate", row.name, not done, "against the truth", images=images),))
    if dry_run or (known is not None and done):
        return plan, dict(known.result) if known is not None and done else {}
    states = [state for _, state in features.values()]
    with ctx.workspace.lock(), running(ctx.db, "evaluate", key, config, images, row.id) as (run_id, _, _):
        result = _evaluate(ctx, layer_name, row, named, states)
        with ctx.db.session() as session:
            finish(session, run_id, row.id, result)
    return plan, result


def _evaluate(
    ctx: Context,
    layer_name: str,
    row: Dictionary,
    named: dict[int, tuple[str, float | None]],
    states: Sequence[str],
) -> dict[str, Any]:
    firing, random, cells = _observe(ctx, layer_name, row)
    grid = (row.grid_rows, row.grid_cols)
    truth = Truth(cells, grid)
    share = choose_share(truth, firing, random)
    own, chance = truth.of(firing, share), truth.of(random, share)
    names = {index: name for index, (name, _) in named.items()}
    shuffled = _shuffled(names, ctx.settings.seed)
    fired = firing.maximum > 0
    result = {
        "layer": layer_name,
        "dictionary": row.name,
        "features": row.num_latents,
        "live": states.count("live") if states else int(fired.sum()),
        "dead": states.count("dead") if states else int((~fired).sum()),
        "images": ctx.settings.evaluate_images,
        "labeled": len(named),
        "grounded": own.grounded,
        "specific": own.specific,
        **_accuracy(own.truths, names),
        "score_precision_r": _correlation(own, named),
        "fvu": row.fvu,
        "l0": row.l0,
        "active_above": share,
        "kinds": _kinds(own.truths),
        "controls": {
            "random": {"grounded": chance.grounded, "specific": chance.specific},
            "shuffled": _accuracy(own.truths, shuffled),
        },
    }
    return {key: _rounded(value) for key, value in result.items()}


def _observe(ctx: Context, layer_name: str, row: Dictionary) -> tuple[Firing, Firing, dict[str, np.ndarray]]:
    """Generate the held-out images once: the dictionary's firing, that of random directions, the oracle's reading."""
    import torch

    from autointerp.dictionaries.baselines import RandomDirections
    from autointerp.dictionaries.normalize import Normalization
    from autointerp.dictionaries.storage import load_dictionary
    from autointerp.diffusion.generation import generate
    from autointerp.shapes.oracle import Oracle

    layer, oracle = ctx.layer(layer_name), Oracle.load()
    weights = load_dictionary(ctx.workspace.dictionary_dir(row.name)).to(ctx.model.device)
    seen = {"own": _Collected(row.num_latents), "random": _Collected(row.num_latents)}
    tokens = layer.grid[0] * layer.grid[1]
    held_out = ctx.prompts.held_out(ctx.settings.evaluate_images, ctx.settings.seed, ctx.settings.images)
    # Random directions know nothing of the layer but its scale, measured on a few harvested images.
    normal = Normalization.measure(layer_activations(ctx, layer, ctx.prompts.jobs(0, 16, ctx.settings.seed), row.steps))
    drawn = RandomDirections.draw(normal, row.num_latents, weights.k, ctx.settings.seed)
    both = {"own": weights, "random": drawn.to(ctx.model.device)}

    def consume(captured: Captured) -> None:
        acts = captured.acts.reshape(-1, row.d_in)
        for name, dictionary in both.items():
            seen[name].add(dictionary.encode(acts), captured.jobs[0].index * tokens)

    reads: list[dict[str, np.ndarray]] = []
    with ctx.progress.task(f"evaluate {row.name}", len(held_out), unit="image") as bar, torch.inference_mode():
        for batch, pictures in generate(
            ctx.model,
            held_out,
            ctx.generation,
            layers=[layer],
            capture_steps=row.steps,
            consumer=consume,
            batch_size=ctx.settings.batch_size,
        ):
            reads.append(oracle.read(pictures))
            bar.advance(len(batch))
    cells = {name: np.concatenate([read[name] for read in reads]) for name in reads[0]}
    return seen["own"].firing(), seen["random"].firing(), cells


class _Collected:
    """Firing of one dictionary, gathered batch by batch; of several steps a cell keeps its maximum."""

    def __init__(self, num_features: int) -> None:
        self.num_features = num_features
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, code: Any, first_cell: int) -> None:
        acts, indices = code.latent_acts.cpu().numpy(), code.latent_indices.cpu().numpy()
        token, slot = np.nonzero(acts > 0)
        cell = (token + first_cell).astype(np.int64)
        self.parts.append((indices[token, slot].astype(np.int64), cell, acts[token, slot].astype(np.float32)))

    def firing(self) -> Firing:
        feature, cell, act = (np.concatenate([part[i] for part in self.parts]) for i in range(3))
        order = np.lexsort((-act, cell, feature))
        feature, cell, act = feature[order], cell[order], act[order]
        first = np.r_[True, (feature[1:] != feature[:-1]) | (cell[1:] != cell[:-1])] if len(feature) else []
        feature, cell, act = feature[first], cell[first], act[first]
        maximum = np.zeros(self.num_features, np.float32)
        np.maximum.at(maximum, feature, act)
        return Firing(self.num_features, feature, cell, act, maximum)


def _accuracy(truths: list[FeatureTruth | None], names: dict[int, str]) -> dict[str, float | None]:
    """Share of grounded (and of specific) features whose label names the truth; no label is a wrong one."""
    grounded = [(i, t.concept) for i, t in enumerate(truths) if t is not None]
    right = {i: names_truth(names.get(i, ""), concept) for i, concept in grounded}
    specific = [i for i, concept in grounded if concept.specific]
    return {
        "label_accuracy": sum(right.values()) / len(right) if right else None,
        "label_accuracy_specific": sum(right[i] for i in specific) / len(specific) if specific else None,
    }


def _shuffled(names: dict[int, str], seed: int) -> dict[int, str]:
    """The same labels on other features."""
    indices = sorted(names)
    order = np.random.default_rng((seed, 41)).permutation(len(indices))
    return {index: names[indices[other]] for index, other in zip(indices, order, strict=True)}


def _correlation(own: Evaluated, named: dict[int, tuple[str, float | None]]) -> float | None:
    """Pearson's r of a label's score with the precision of what it says; a label that says no concept has 0."""
    pairs = []
    said: dict[str, list[int]] = {}
    for index, (name, score) in named.items():
        if score is None or np.isnan(own.precisions[index]).any():
            continue
        if name not in said:
            said[name] = [c for c, concept in enumerate(own.concepts) if names_truth(name, concept)]
        # The narrowest concept that the label says: the one that is most rarely true here.
        claims = [own.precisions[index, c] for c in said[name]]
        pairs.append((score, min(claims) if claims else 0.0))
    if len(pairs) < 3:
        return None
    scores, precisions = np.array(pairs).T
    if scores.std() == 0 or precisions.std() == 0:
        return None
    return float(np.corrcoef(scores, precisions)[0, 1])


def _kinds(truths: list[FeatureTruth | None]) -> dict[str, int]:
    """How many features have a truth of each kind."""
    kinds: dict[str, int] = {}
    for truth in truths:
        if truth is not None:
            kinds[truth.concept.kind] = kinds.get(truth.concept.kind, 0) + 1
    return dict(sorted(kinds.items(), key=lambda item: -item[1]))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return round(value, 4) if isinstance(value, float) else value
