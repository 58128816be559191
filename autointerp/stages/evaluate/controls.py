"""Controls of directions, planned: what directions get against the truth that no learning on this model chose.

Each control goes through the same procedure as a dictionary's features, on the same held-out images. It depends on the
layer, the number of directions and the images, and not on any dictionary. So it is measured once for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autointerp.db.models import DictionaryRow
from autointerp.dictionaries.kinds import FITTED
from autointerp.diffusion.layers import Layer
from autointerp.project.context import Context, identity
from autointerp.project.plan import Step
from autointerp.project.runs import find_run
from autointerp.stages.evaluate.planning import VERSION, has_truth
from autointerp.stages.fit.planning import FitRequest, dictionary_config

Wanted = Literal["cheap", "all"]
CHEAP = ("random", "activations")
"""Controls that need a few of the run's images and no fit."""
LEARNED = ("rerandomised", "raw")
"""Controls with a fit of their own."""
CONTROLS: dict[str, str] = {
    "random": "random unit directions of the layer",
    "activations": "random activations of the layer as directions",
    "kmeans": "means of a spherical k-means of activations",
    "pca": "principal components, each in its own standard deviations",
    "rerandomised": "the same fit on the model with weights drawn anew",
    "raw": "the same fit on the model's noised latents",
}
"""Every control, with what its directions are."""
FEW_IMAGES = 64
"""Images of the run that the scale of directions is measured on, and from which random activations are drawn."""


@dataclass(frozen=True)
class ControlPlan:
    """One control of a layer.

    Attributes:
        name: A key of `CONTROLS`.
        layer: The layer that it is a control of.
        identity: Hash of `config`.
        config: Everything that the result depends on.
        known: The figures, where they are stored.
    """

    name: str
    layer: Layer
    identity: str
    config: dict[str, Any]
    known: dict[str, Any] | None

    @property
    def steps(self) -> tuple[int, ...]:
        """The denoising steps that it reads."""
        return tuple(self.config["capture_steps"])

    @property
    def fit_images(self) -> int:
        """How many of the run's images its directions are made from."""
        return int(self.config["fit_images"])

    @property
    def step(self) -> Step:
        """The plan's line."""
        what = f"control of {self.layer.name}, {self.name}"
        images = self.config["images"] + self.fit_images
        return Step("evaluate", what, self.known is None, CONTROLS[self.name], images=images, units=images)


def control_names(wanted: Wanted) -> tuple[str, ...]:
    """Return the controls of a choice."""
    return CHEAP if wanted == "cheap" else tuple(CONTROLS)


def plan_controls(ctx: Context, row: DictionaryRow, names: Collection[str]) -> list[ControlPlan]:
    """Find the controls of a dictionary's layer under these settings, or plan them; none where the truth is unknown.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary; its layer, steps, number of latents and k are those of the controls.
        names: Which controls.
    """
    layer = ctx.layer_of(row)
    if not has_truth(ctx, layer):
        return []
    # A fit on pairs of an input and an output has no counterpart that rebuilds one tensor.
    possible = set(names) - set(LEARNED if layer.signal == "map" else ())
    return [_plan_control(ctx, row, layer, name) for name in CONTROLS if name in possible]


def _plan_control(ctx: Context, row: DictionaryRow, layer: Layer, name: str) -> ControlPlan:
    fit = _fit_of(ctx, row, layer)
    few = min(FEW_IMAGES, fit["images"])
    config = {
        **ctx.made_of(layer),
        "capture_steps": row.steps,
        "version": VERSION,
        "control": name,
        "latents": row.num_latents,
        "k": row.k or max(1, round(row.l0 or 0)),
        "harvested": ctx.available(ctx.settings.images),
        "images": ctx.settings.evaluate_images,
        "fit_images": few if name in CHEAP else fit["images"],
        "buffer": fit["buffer"],
        "control_seed": fit["fit_seed"],
    }
    if name in LEARNED:
        kind = FITTED[fit["kind"]]
        config["fit_kind"] = kind.name
        config["options"] = {key: fit[key] for key in kind.options}
    key = identity({"evaluate": config})
    run = find_run(ctx.db, "evaluate", key)
    return ControlPlan(name, layer, key, config, run.result if run is not None and run.status == "done" else None)


def _fit_of(ctx: Context, row: DictionaryRow, layer: Layer) -> dict[str, Any]:
    """Return the settings of the dictionary's fit; of one that was imported or not learned, those of a TopK."""
    stored = row.config.get("fit", {})
    if row.images and stored.get("kind") in FITTED and not FITTED[stored["kind"]].baseline:
        return dict(stored)
    return dictionary_config(ctx, layer, FitRequest(kind="topk", latents=row.num_latents, k=row.k or None))


def distinct(plans: Sequence[ControlPlan]) -> list[ControlPlan]:
    """Return the controls that are not known, each once: dictionaries of one layer share them."""
    return list({plan.identity: plan for plan in plans if plan.known is None}.values())


def checkpoint_of(ctx: Context, plan: ControlPlan) -> Path:
    """Return the file in which a control's fit is kept until its figures are stored."""
    return ctx.workspace.path / "controls" / f"{plan.identity[:24]}.checkpoint"


def forget_checkpoint(ctx: Context, plan: ControlPlan) -> None:
    """Delete the checkpoint of a control whose figures are stored, and the folder once it is empty."""
    path = checkpoint_of(ctx, plan)
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()
