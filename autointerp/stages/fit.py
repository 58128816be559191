"""Stage `fit`, planned: which dictionary a request or a layer means, and what it depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from autointerp.db import models, queries
from autointerp.diffusion.checkpoints import SUFFIXES
from autointerp.diffusion.layers import Layer, neurons_of
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.settings import DictionarySettings
from autointerp.stages.context import Context, identity
from autointerp.stages.plan import Step

if TYPE_CHECKING:
    pass

SAES = ("topk", "batchtopk", "jumprelu")
KINDS = (*SAES, "itda", "neurons", "pca", "random")
"""Kinds that can be fitted here."""
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
        "images": ctx.available(request.images or settings.fit_images),
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
        base = request.name or dictionary_name(config["model"], layer.name, layer.stream, config["kind"])
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
    """The last part of a model's name, without a checkpoint's ending, fit for a dictionary's name."""
    word = model.rstrip("/").rsplit("/", 1)[-1]
    for suffix in SUFFIXES:
        word = word.removesuffix(suffix)
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in word) or "model"


def dictionary_name(model: str, layer: str, stream: str, kind: str) -> str:
    """What a dictionary of this origin is called, before a number is added."""
    place = layer if stream == "image" else f"{layer}-{stream}"
    return f"{model_word(model)}.{place}.{kind}"


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


def branch_name(row: models.Dictionary) -> str:
    """What a copy of a dictionary is called, before a number is added."""
    return dictionary_name(row.model, row.layer, row.stream, row.kind)


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
