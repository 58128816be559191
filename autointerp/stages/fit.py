"""Stage `fit`: train dictionaries of layers on activations while their model generates."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from autointerp.db import models, queries
from autointerp.diffusion.layers import Layer, neurons_of
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.settings import DictionarySettings
from autointerp.stages.activations import ActivationSource
from autointerp.stages.context import Context, identity
from autointerp.stages.plan import Step
from autointerp.stages.runs import checkpoint, finish, running

if TYPE_CHECKING:
    from autointerp.dictionaries.fitting import FitConfig, Trainer
    from autointerp.dictionaries.metrics import Reconstruction
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.dictionaries.rounds import Round
    from autointerp.progress import Task

SAES = ("topk", "batchtopk", "jumprelu")
KINDS = (*SAES, "itda", "neurons", "pca", "random")
"""Kinds that can be fitted here."""
MEASURED_SHARE = 0.05
"""Share of the images that are only measured on, never trained on."""
_OPTIONS = {
    **dict.fromkeys(SAES, ("normalize", "passes", "ema", "per_step")),
    "itda": ("normalize", "threshold", "prune", "pursuit"),
    "random": ("normalize",),
}
"""Settings that a kind depends on, beyond what all do."""


@dataclass(frozen=True)
class FitRequest:
    """What a dictionary should be; None means what the settings say."""

    kind: str | None = None
    latents: int | None = None
    k: int | None = None
    images: int | None = None
    seed: int | None = None
    name: str | None = None
    normalize: str | None = None
    per_step: bool | None = None
    ema: float | None = None
    threshold: float | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """What was asked for beyond the settings, as it is stored with the dictionary."""
        asked = {key: value for key, value in vars(self).items() if value is not None}
        asked.pop("name", None)
        return asked


@dataclass(frozen=True)
class CacheRequest:
    """Raw activations to be kept on disk: where, and how many GB at most (None: 90% of what is free)."""

    folder: Path
    budget_gb: float | None = None


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


def check_kind(kind: str) -> str:
    """A kind that can be fitted.

    Raises:
        UsageError: It cannot.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no dictionary kind {kind!r} to fit", nearest(kind, KINDS))
    return kind


def dictionary_config(ctx: Context, layer: Layer, request: FitRequest) -> dict[str, Any]:
    """Everything a fitted dictionary depends on. `layer` is what it reads: for `neurons` the hidden units."""
    settings, defaults = ctx.settings, ctx.description.defaults
    kind = check_kind(request.kind or settings.dictionary.kind)
    latents = request.latents or settings.dictionary.latents or defaults.expansion * layer.d_in
    # Units are as many as they are, and a component has two sides.
    latents = {"neurons": layer.d_in, "pca": min(latents, 2 * layer.d_in)}.get(kind, latents)
    k = request.k or settings.dictionary.k or defaults.k or max(1, min(round(layer.d_in / 12), 64))
    if k > latents:
        raise UsageError(f"k is {k} but there are only {latents} latents", "give a smaller -k or more --latents")
    options = settings.dictionary.model_dump()
    options["passes"] = options["passes"] or defaults.passes
    known = get_args(DictionarySettings.model_fields["normalize"].annotation)
    if request.normalize is not None and request.normalize not in known:
        raise UsageError(f"there is no normalization {request.normalize!r}", nearest(request.normalize, known))
    options |= {name: value for name, value in request.overrides.items() if name in options}
    return {
        **ctx.made_of(layer),
        "kind": kind,
        "latents": latents,
        "k": k,
        "images": request.images or settings.fit_images,
        "buffer": settings.dictionary.buffer,
        "fit_seed": settings.seed if request.seed is None else request.seed,
        **{name: options[name] for name in _OPTIONS.get(kind, ())},
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
    if check_kind(request.kind or ctx.settings.dictionary.kind) == "neurons":
        layer = neurons_of(ctx.description, layer)
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

    A named one; else the newest fitted at the layer while the settings still say what made it; else one to be
    fitted. Where there are only imports, the only one.

    Raises:
        UsageError: There is no such dictionary, it is of another layer, or there are several imports to choose from.
    """
    if dictionary is None:
        row = ctx.dictionary_of(layer_name)
    else:
        row = ctx.dictionary_named(dictionary)
        if row.layer != ctx.layer(layer_name).name:
            raise UsageError(f"{row.name} belongs to layer {row.layer}, not {layer_name}", "name that layer")
    if row is None:
        return plan_fit(ctx, layer_name)
    plan = _plan_of(row, ctx.layer_of(row))
    if dictionary is None and row.images:
        current = dictionary_config(ctx, plan.layer, FitRequest(**plan.overrides))
        if identity({"fit": current}) != row.config.get("fit_identity"):
            return plan_fit(ctx, layer_name)
    return plan


def _plan_of(row: models.Dictionary, layer: Layer) -> FitPlan:
    return FitPlan(layer, row.name, row.identity, row.config["fit"], row.config.get("overrides", {}), row)


def run_fits(ctx: Context, plans: Sequence[FitPlan], cache: CacheRequest | None = None) -> list[models.Dictionary]:
    """Fit what is planned from one generation pass, each going on from its last checkpoint.

    All plans have the same images, steps and buffer. Returns their stored rows, detached, in their order.
    """
    todo = [plan for plan in plans if plan.row is None]
    made: dict[str, models.Dictionary] = {}
    if todo:
        with ExitStack() as stack:
            fits = []
            for plan in todo:
                run = running(ctx.db, "fit", plan.identity, plan.config, plan.config["images"])
                fits.append(_Fit(ctx, plan, stack.enter_context(run)[0]))
            made = _fit_all(ctx, fits, cache)
    return [plan.row or made[plan.identity] for plan in plans]


def image_rounds(plan: FitPlan) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """The ranges of images that are trained on, each a round, and the range that is only measured on.

    Raises:
        UsageError: There are too few images.
    """
    images = plan.config["images"]
    measured = max(1, round(images * MEASURED_SHARE))
    last = images - measured
    if last < 1:
        raise UsageError(f"{images} images are too few to fit on", "give at least 2")
    size = max(1, plan.config["buffer"] // _tokens(plan))
    return [(start, min(start + size, last)) for start in range(0, last, size)], (last, images)


def _tokens(plan: FitPlan) -> int:
    """Activations of one image."""
    return plan.layer.grid[0] * plan.layer.grid[1] * len(plan.config["capture_steps"])


def _fit_all(ctx: Context, fits: Sequence[_Fit], cache: CacheRequest | None) -> dict[str, models.Dictionary]:
    rounds, measured = image_rounds(fits[0].plan)
    layers = [fit.plan.layer for fit in fits]
    steps = fits[0].plan.config["capture_steps"]
    source = ActivationSource(ctx, layers, steps, cache.folder if cache else None)
    if cache is not None:
        from autointerp.dictionaries.cache import check_budget

        needed = source.missing([*rounds, measured])
        check_budget(cache.folder, needed, cache.budget_gb)
        ctx.progress.note(f"keeping {needed / 1e9:.2f} GB of activations in {cache.folder}")
    what = fits[0].plan.name if len(fits) == 1 else f"{len(fits)} dictionaries"
    first = min(fit.seen for fit in fits)
    with ctx.progress.task(f"fit {what}", measured[0], first, unit="image") as bar:
        for start, stop in rounds:
            wanted = [fit for fit in fits if fit.seen == start]
            if not wanted:
                continue
            given = source.read(start, stop, [fit.plan.layer for fit in wanted], bar)
            for fit in wanted:
                fit.train(given[fit.plan.layer], stop, bar)
    with ctx.progress.task(f"measuring {what}", measured[1] - measured[0], unit="image") as bar:
        given = source.read(*measured, layers, bar)
    return {fit.plan.identity: fit.store(given[fit.plan.layer]) for fit in fits}


class _Fit:
    """One dictionary under way: its trainer, and where its checkpoint lies."""

    def __init__(self, ctx: Context, plan: FitPlan, run_id: int) -> None:
        from autointerp.dictionaries.fitting import make_trainer

        self.ctx, self.plan, self.run_id = ctx, plan, run_id
        self.rounds, self.measured = image_rounds(plan)
        self.trainer: Trainer = make_trainer(_fit_config(plan, len(self.rounds)), plan.layer.d_in, ctx.model.device)
        self.seconds = 0.0
        """Time in training alone, without generation."""
        self.seen = self._resume()
        """Images that it has trained on."""

    @property
    def _path(self) -> Path:
        """A file, not a row: the state of a wide layer's fit is larger than a database takes as one value."""
        return self.ctx.workspace.dictionary_dir(self.plan.name) / "fit.checkpoint"

    def train(self, given: Round, stop: int, bar: Task) -> None:
        """Train on the round that ends with image `stop`, and keep the state."""
        from autointerp.dictionaries.rounds import Round

        begun = time.perf_counter()
        note = self.trainer.train_round(Round(given.acts.to(self.ctx.model.device), given.places))
        self.seconds += time.perf_counter() - begun
        wanted = self.trainer.rounds_wanted
        self.seen = self.measured[0] if wanted is not None and stop >= self.rounds[wanted - 1][1] else stop
        bar.advance(0, note)
        self._save()
        with self.ctx.db.session() as session:
            checkpoint(session, self.run_id, self.seen, None)

    def _save(self) -> None:
        import torch

        path = self._path
        partial = path.with_name(path.name + ".part")
        state = {
            "fit": self.plan.identity,
            "seen": self.seen,
            "seconds": self.seconds,
            "trainer": self.trainer.state_dict(),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(state, file)
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

    def _resume(self) -> int:
        """Take up the stopped fit of the same identity; returns how many images it had seen."""
        import torch

        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return 0
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
            return 0  # A damaged checkpoint costs the time it saved, and nothing else.
        if state.get("fit") != self.plan.identity or "seen" not in state:
            return 0  # Of other settings, stopped under the name that is free again for these.
        self.trainer.load_state_dict(state["trainer"])
        self.seconds = state["seconds"]
        return int(state["seen"])

    def store(self, held_out: Round) -> models.Dictionary:
        """Measure on activations that were not trained on, and store the dictionary."""
        from autointerp.dictionaries.itda import ITDA

        dictionary = self.trainer.dictionary().to("cpu")
        if isinstance(dictionary, ITDA) and dictionary.sources is not None:
            jobs = self.ctx.prompts.jobs(0, self.measured[0], self.ctx.settings.seed)
            dictionary.sources = dictionary.sources.located({job.index: (job.prompt, job.seed) for job in jobs})
        figures = measure(dictionary, held_out).figures()
        return _store(self.ctx, self.plan, self.run_id, dictionary, {**figures, "fit_seconds": self.seconds})


def _fit_config(plan: FitPlan, rounds: int) -> FitConfig:
    from autointerp.dictionaries.fitting import FitConfig
    from autointerp.dictionaries.growth import GrowthOptions
    from autointerp.dictionaries.training import SAEOptions

    config = plan.config
    sae, growth = SAEOptions(), GrowthOptions()
    if config["kind"] in SAES:
        sae = replace(sae, passes=config["passes"], ema=config["ema"], conditioned=config["per_step"])
    elif config["kind"] == "itda":
        growth = replace(growth, threshold=config["threshold"], prune=config["prune"], encoder=config["pursuit"])
    trained_on = image_rounds(plan)[1][0]
    return FitConfig(
        config["kind"],
        config["latents"],
        config["k"],
        tokens=trained_on * _tokens(plan),
        rounds=rounds,
        steps=tuple(config["capture_steps"]),
        normalize=config.get("normalize", "standard"),
        seed=config["fit_seed"],
        sae=sae,
        growth=growth,
    )


def measure(dictionary: Dictionary, held_out: Round, batch: int = 4096) -> Reconstruction:
    """How well a dictionary rebuilds a round's activations."""
    from autointerp.dictionaries.metrics import Reconstruction

    figures = Reconstruction(dictionary.d_in, dictionary.num_latents)
    for acts, steps in zip(held_out.acts.split(batch), held_out.steps.split(batch), strict=True):
        figures.update(dictionary, acts, steps)
    return figures


def _store(
    ctx: Context, plan: FitPlan, run_id: int, dictionary: Dictionary, figures: dict[str, float]
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
            fvu=figures["fvu"],
            l0=figures["l0"],
            figures=figures,
        )
        session.add(row)
        session.flush()
        finish(session, run_id, row.id, figures)
        session.refresh(row)
        session.expunge(row)
    (ctx.workspace.dictionary_dir(plan.name) / "fit.checkpoint").unlink(missing_ok=True)
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
