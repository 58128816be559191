"""Stage `fit`: train a dictionary on the activations of one layer while its model generates."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.db import models, queries
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.stages.context import Context, identity
from autointerp.stages.plan import Step
from autointerp.stages.runs import checkpoint, finish, running

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.fitting import TopKTrainer
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.capture import Captured
    from autointerp.diffusion.generation import ImageJob
    from autointerp.progress import Task

KINDS = ("topk", "random")
"""Kinds that can be fitted here."""
ROUND_TOKENS = 32_768
"""Activations held in memory at a time; a checkpoint follows each such round."""
MEASURED_SHARE = 0.05
"""Share of the images that are only measured on, never trained on."""


@dataclass(frozen=True)
class FitRequest:
    """What a dictionary should be; None means what the settings say."""

    kind: str | None = None
    latents: int | None = None
    k: int | None = None
    images: int | None = None
    seed: int | None = None
    name: str | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """What was asked for beyond the settings, as it is stored with the dictionary."""
        values = {"kind": self.kind, "latents": self.latents, "k": self.k, "images": self.images, "seed": self.seed}
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class FitPlan:
    """A dictionary that is there (`row`) or would be made."""

    layer: Layer
    name: str
    identity: str
    config: dict[str, Any]
    overrides: dict[str, Any]
    row: models.Dictionary | None

    @property
    def step(self) -> Step:
        """The plan's line."""
        made = f"{self.config['kind']}, {self.config['latents']} latents, k {self.config['k']}"
        return Step("fit", self.name, self.row is None, made, images=self.config["images"])


def dictionary_config(ctx: Context, layer: Layer, request: FitRequest) -> dict[str, Any]:
    """Everything a fitted dictionary depends on."""
    settings = ctx.settings
    kind = request.kind or settings.dictionary.kind
    if kind not in KINDS:
        raise UsageError(f"there is no dictionary kind {kind!r} to fit", nearest(kind, KINDS))
    defaults = ctx.description.defaults
    latents = request.latents or settings.dictionary.latents or defaults.expansion * layer.d_in
    k = request.k or settings.dictionary.k or defaults.k or max(1, min(round(layer.d_in / 12), 64))
    if k > latents:
        raise UsageError(f"k is {k} but there are only {latents} latents", "give a smaller -k or more --latents")
    return {
        **ctx.made_of(layer),
        "kind": kind,
        "latents": latents,
        "k": k,
        "images": request.images or settings.fit_images,
        "passes": settings.dictionary.passes or defaults.passes,
        "fit_seed": settings.seed if request.seed is None else request.seed,
    }


def plan_fit(ctx: Context, layer_name: str, request: FitRequest | None = None) -> FitPlan:
    """Find the dictionary that a fit would make, or what it would be called.

    Raises:
        UsageError: `--name` is taken by another dictionary.
    """
    request = request or FitRequest()
    if request.name is not None:
        ctx.workspace.dictionary_dir(request.name)  # A name that cannot be stored is refused before the work.
    layer = ctx.layer(layer_name)
    config = dictionary_config(ctx, layer, request)
    key = identity({"fit": config})
    with ctx.db.session() as session:
        row = queries.dictionary_by_identity(session, key)
        base = request.name or f"{model_word(config['model'])}.{layer.name}.{config['kind']}"
        name = queries.free_name(session, base)
        if row is not None:
            session.expunge(row)
    if row is not None and request.name in (None, row.name):
        return FitPlan(layer, row.name, key, config, request.overrides, row)
    if row is not None:
        raise UsageError(f"this dictionary is there already, as {row.name}", "use it, or change what it is made of")
    if request.name not in (None, name):
        raise UsageError(f"there is a dictionary {request.name!r} already", "give another --name, or `rm` it first")
    return FitPlan(layer, name, key, config, request.overrides, None)


def model_word(model: str) -> str:
    """The last part of a model's name, fit for a dictionary's name."""
    word = model.rstrip("/").rsplit("/", 1)[-1]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in word) or "model"


def resolve_dictionary(ctx: Context, layer_name: str, dictionary: str | None) -> FitPlan:
    """The dictionary that a making command means.

    A named one; else the newest of the layer while the settings still say what made it; else one to be fitted.
    """
    with ctx.db.session() as session:
        if dictionary is not None:
            row = queries.dictionary_by_name(session, dictionary)
            if row is None:
                known = [d.name for d in queries.all_dictionaries(session)]
                raise UsageError(f"there is no dictionary {dictionary!r}", nearest(dictionary, known))
            session.expunge(row)
            layer = ctx.layer(layer_name)
            if row.hookpoint != layer.hookpoint:
                raise UsageError(f"{row.name} belongs to layer {row.layer}, not {layer_name}", "name that layer")
            return _plan_of(row, layer)
        layer = ctx.layer(layer_name)
        row = queries.newest_dictionary(session, layer.hookpoint)
        if row is not None:
            session.expunge(row)
    if row is not None:
        overrides = row.config.get("overrides", {})
        current = dictionary_config(ctx, layer, FitRequest(**overrides))
        if identity({"fit": current}) == row.config.get("fit_identity"):
            return _plan_of(row, layer)
    return plan_fit(ctx, layer_name)


def _plan_of(row: models.Dictionary, layer: Layer) -> FitPlan:
    return FitPlan(layer, row.name, row.identity, row.config["fit"], row.config.get("overrides", {}), row)


def run_fit(ctx: Context, plan: FitPlan) -> models.Dictionary:
    """Fit what is planned, going on from its last checkpoint; returns the stored row, detached."""
    if plan.row is not None:
        return plan.row
    with running(ctx.db, "fit", plan.identity, plan.config, plan.config["images"]) as (run_id, _, _):
        dictionary, trained_on = _train(ctx, plan, run_id)
        fvu, l0 = _measure(ctx, plan, dictionary, trained_on)
        return _store(ctx, plan, run_id, dictionary, fvu, l0)


def _split(plan: FitPlan) -> int:
    """How many of the images are trained on; the rest is measured on."""
    images = plan.config["images"]
    measured = max(1, round(images * MEASURED_SHARE))
    if images - measured < 1:
        raise UsageError(f"{images} images are too few to fit on", "give at least 2")
    return images - measured


def _new_trainer(ctx: Context, plan: FitPlan, tokens: int) -> TopKTrainer:
    from autointerp.dictionaries.fitting import TopKConfig, TopKTrainer

    config = plan.config
    topk = TopKConfig(
        num_latents=config["latents"],
        k=config["k"],
        tokens=tokens,
        passes=config["passes"],
        seed=config["fit_seed"],
    )
    return TopKTrainer(plan.layer.d_in, topk, ctx.model.device)


def _checkpoint_path(ctx: Context, plan: FitPlan) -> Path:
    """A file, not a row: the state of a wide layer's fit is larger than a database takes as one value."""
    return ctx.workspace.dictionary_dir(plan.name) / "fit.checkpoint"


def _save_checkpoint(path: Path, key: str, trainer: TopKTrainer, done: int) -> None:
    """Keep the state of the fit with the identity `key`."""
    import torch

    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save({"fit": key, "done": done, "trainer": trainer.state_dict()}, file)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        # torch hides the system's reason behind one of its own.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        partial.unlink(missing_ok=True)
        raise AutointerpError(
            f"cannot write {path}: {reason.strerror}", "free some space or check its permissions, then run it again"
        ) from error


def _load_checkpoint(path: Path, key: str, trainer: TopKTrainer) -> int:
    """Take up the stopped fit with the identity `key`; returns how many images it had seen."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return 0
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
        return 0  # A damaged checkpoint costs the time it saved, and nothing else.
    if state.get("fit") != key:
        return 0  # Of other settings, stopped under the name that is free again for these.
    trainer.load_state_dict(state["trainer"])
    return int(state["done"])


def _train(ctx: Context, plan: FitPlan, run_id: int) -> tuple[Dictionary, int]:
    """Train on all images but the measured ones; returns the dictionary and how many images that took."""
    from autointerp.dictionaries.baselines import RandomDirections
    from autointerp.dictionaries.normalize import Normalization

    grid, config = plan.layer.grid, plan.config
    per_image = grid[0] * grid[1] * len(config["capture_steps"])
    last = _split(plan)
    if config["kind"] == "random":
        acts = _activations(ctx, plan, 0, min(last, max(1, ROUND_TOKENS // per_image)), "measuring")
        normal = Normalization.measure(acts)
        return RandomDirections.draw(normal, config["latents"], config["k"], config["fit_seed"]), last
    trainer, path = _new_trainer(ctx, plan, last * per_image), _checkpoint_path(ctx, plan)
    done = _load_checkpoint(path, plan.identity, trainer)
    per_round = max(1, ROUND_TOKENS // per_image)
    with ctx.progress.task(f"fit {plan.name}", last, done, unit="image") as bar:
        while done < last:
            stop = min(done + per_round, last)
            loss = trainer.train_round(_activations(ctx, plan, done, stop, None, bar).to(ctx.model.device))
            done = stop
            bar.advance(0, f"error {loss:.3f}, {trainer.dead} dead")
            _save_checkpoint(path, plan.identity, trainer, done)
            with ctx.db.session() as session:
                checkpoint(session, run_id, done, None)
    return trainer.dictionary(), last


def _activations(
    ctx: Context, plan: FitPlan, start: int, stop: int, what: str | None, bar: Task | None = None
) -> torch.Tensor:
    """All activations of images `start` to `stop`, float32 [n, d_in], told to `bar` or to a bar of its own."""
    jobs = ctx.prompts.jobs(start, stop, ctx.settings.seed)
    if what is None:
        return layer_activations(ctx, plan.layer, jobs, plan.config["capture_steps"], bar)
    with ctx.progress.task(f"{what} {plan.name}", len(jobs), unit="image") as own:
        return layer_activations(ctx, plan.layer, jobs, plan.config["capture_steps"], own)


def layer_activations(
    ctx: Context, layer: Layer, jobs: Sequence[ImageJob], steps: Sequence[int], bar: Task | None = None
) -> torch.Tensor:
    """All activations of a layer over some images, float32 [n, d_in], held in memory."""
    import torch

    from autointerp.diffusion.generation import generate

    parts: list[torch.Tensor] = []

    def keep(captured: Captured) -> None:
        parts.append(captured.acts.reshape(-1, layer.d_in).to("cpu", copy=True))

    for batch, _ in generate(
        ctx.model,
        jobs,
        ctx.generation,
        layers=[layer],
        capture_steps=steps,
        consumer=keep,
        batch_size=ctx.settings.batch_size,
        decode=False,
    ):
        if bar is not None:
            bar.advance(len(batch))
    return torch.cat(parts)


def _measure(ctx: Context, plan: FitPlan, dictionary: Dictionary, start: int) -> tuple[float, float]:
    """FVU and L0 on the images that were not trained on."""
    from autointerp.dictionaries.metrics import Reconstruction

    figures = Reconstruction(plan.layer.d_in)
    dictionary = dictionary.to("cpu")
    figures.update(dictionary, _activations(ctx, plan, start, plan.config["images"], "measuring"))
    return figures.fvu, figures.l0


def _store(
    ctx: Context, plan: FitPlan, run_id: int, dictionary: Dictionary, fvu: float, l0: float
) -> models.Dictionary:
    from autointerp.dictionaries.storage import save_dictionary

    layer, config = plan.layer, plan.config
    provenance = {"layer": layer.name, "grid": list(layer.grid), **config}
    digest = save_dictionary(dictionary, ctx.workspace.dictionary_dir(plan.name), provenance)
    with ctx.db.session() as session:
        row = models.Dictionary(
            name=plan.name,
            identity=plan.identity,
            kind=config["kind"],
            model=config["model"],
            revision=config["revision"],
            layer=layer.name,
            hookpoint=layer.hookpoint,
            signal=layer.signal,
            stream=layer.stream,
            steps=config["capture_steps"],
            grid_rows=layer.grid[0],
            grid_cols=layer.grid[1],
            d_in=layer.d_in,
            num_latents=dictionary.num_latents,
            k=dictionary.k,
            seed=config["fit_seed"],
            images=config["images"],
            config={"fit": config, "overrides": plan.overrides, "fit_identity": plan.identity},
            weights_sha256=digest,
            fvu=fvu,
            l0=l0,
        )
        session.add(row)
        session.flush()
        finish(session, run_id, row.id, {"fvu": fvu, "l0": l0})
        session.refresh(row)
        session.expunge(row)
    _checkpoint_path(ctx, plan).unlink(missing_ok=True)
    return row


def branch_name(row: models.Dictionary) -> str:
    """What a dictionary of this origin is called before a number is added."""
    return f"{model_word(row.model)}.{row.layer}.{row.kind}"


def branch_dictionary(ctx: Context, plan: FitPlan, key: str) -> FitPlan:
    """The same weights under a new name, for results that must not replace those of `plan`."""
    import shutil

    row = plan.row
    if row is None:
        raise AutointerpError(f"{plan.name} is not fitted yet", "run `autointerp fit` first")
    branched = identity({"fit": row.config["fit_identity"], "harvest": key})
    with ctx.db.session() as session:
        known = queries.dictionary_by_identity(session, branched)
        if known is not None:
            session.expunge(known)
            return replace(plan, name=known.name, identity=branched, row=known)
        name = queries.free_name(session, branch_name(row))
        target = ctx.workspace.dictionary_dir(name)
        shutil.copytree(ctx.workspace.dictionary_dir(row.name), target, dirs_exist_ok=True)
        columns = {c.name: getattr(row, c.name) for c in models.Dictionary.__table__.columns}
        for own in ("id", "created_at"):
            columns.pop(own)
        copy = models.Dictionary(**{**columns, "name": name, "identity": branched})
        session.add(copy)
        session.flush()
        session.refresh(copy)
        session.expunge(copy)
    return replace(plan, name=name, identity=branched, row=copy)
