"""Stage `fit`, planned: which dictionary a request or a layer means, and what it depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from autointerp.db import models, queries
from autointerp.dictionaries.kinds import FITTED, DictionaryKind
from autointerp.diffusion.checkpoints import SUFFIXES
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.project.context import Context, identity
from autointerp.project.places import inside
from autointerp.project.plan import Step
from autointerp.project.settings import DictionarySettings, Settings
from autointerp.project.targets import Target

USUAL_IMAGES = 800
"""Images to fit on where nothing says it, and as many are asked for."""
FEW = 10
"""Activations a latent, below which a plan says that they are few: an atom is hardly more than a sample then."""


@dataclass(frozen=True)
class FitRequest:
    """What a dictionary should be. None means the value of the settings."""

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
        """The values that differ from the settings, as they are stored with the dictionary."""
        asked = {key: value for key, value in vars(self).items() if value is not None}
        asked.pop("name", None)
        return asked

    def over(self, settings: Settings) -> Settings:
        """Return settings with the request's options over them; `seed` is of the fit alone, and stays out.

        Raises:
            UsageError: There is no such kind or normalization.
        """
        known = get_args(DictionarySettings.model_fields["normalize"].annotation)
        if self.normalize is not None and self.normalize not in known:
            raise UsageError(f"there is no normalization {self.normalize!r}", nearest(self.normalize, known))
        if self.kind is not None:
            check_kind(self.kind)
        table = {name: getattr(self, name) for name in DictionarySettings.model_fields if hasattr(self, name)}
        return settings.changed(fit_images=self.images, dictionary=table)


@dataclass(frozen=True)
class CacheRequest:
    """Raw activations to keep on disk: in which folder, and how many GB at most (None: 90% of the free space)."""

    folder: Path
    budget_gb: float | None = None


@dataclass(frozen=True)
class FitPlan:
    """A dictionary that exists (`row`) or would be made; `notes` say what to know before it is made."""

    layer: Layer
    name: str
    identity: str
    config: dict[str, Any]
    overrides: dict[str, Any]
    row: models.DictionaryRow | None
    notes: tuple[str, ...] = ()

    @property
    def step(self) -> Step:
        """The plan's line."""
        made = f"{self.config['kind']}, {self.config['latents']} latents, k {self.config['k']}"
        images, detail = self.config["images"], ", ".join((made, *self.notes))
        return Step("fit", self.name, self.row is None, detail, images=images, units=images)


def _followed(settings: Settings) -> int:
    """Return how many images a fit takes where nobody says it: never more than are asked for in all."""
    return min(USUAL_IMAGES, settings.images)


def check_kind(name: str) -> DictionaryKind:
    """Return the kind of that name.

    Raises:
        UsageError: There is no such kind, or it cannot be fitted.
    """
    if name not in FITTED:
        raise UsageError(f"there is no dictionary kind {name!r} to fit", nearest(name, FITTED))
    return FITTED[name]


def dictionary_config(ctx: Context, layer: Layer, request: FitRequest) -> dict[str, Any]:
    """Return everything that a fitted dictionary depends on; `neurons` reads a layer of hidden units."""
    settings, defaults = request.over(ctx.settings), ctx.description.defaults
    kind = check_kind(settings.dictionary.kind)
    latents = kind.latents(settings.dictionary.latents or defaults.expansion * layer.d_in, layer.d_in)
    k = settings.dictionary.k or defaults.k or max(1, min(round(layer.d_in / 12), 64))
    if k > latents:
        raise UsageError(f"k is {k} but there are only {latents} latents", "give a smaller -k or more --latents")
    options = settings.dictionary.model_dump()
    options["passes"] = options["passes"] or defaults.passes
    return {
        **ctx.made_of(layer),
        "kind": kind.name,
        "latents": latents,
        "k": k,
        "images": ctx.available(settings.fit_images or _followed(ctx.workspace.settings)),
        "buffer": settings.dictionary.buffer,
        "fit_seed": settings.seed if request.seed is None else request.seed,
        **{name: options[name] for name in kind.options},
    }


def plan_fit(ctx: Context, layer_name: str, request: FitRequest | None = None) -> FitPlan:
    """Find the dictionary that a fit would make, or the name that it would get.

    Raises:
        UsageError: `--name` is taken by another dictionary.
    """
    request = request or FitRequest()
    if request.name is not None:
        ctx.workspace.dictionary_dir(request.name)  # Refuse a name that cannot be stored before any work.
    kind = check_kind(request.over(ctx.settings).dictionary.kind)
    layer = inside(ctx.description, ctx.layer(layer_name), kind.name)
    config = dictionary_config(ctx, layer, request)
    key = identity({"fit": config})
    with ctx.db.session() as session:
        row = queries.dictionaries.by_identity(session, key)
        base = request.name or dictionary_name(config["model"], layer.name, layer.stream, config["kind"])
        name = queries.dictionaries.free_name(session, base)
        if row is not None:
            session.expunge(row)
    if row is not None and request.name in (None, row.name):
        return FitPlan(layer, row.name, key, config, request.overrides, row)
    if row is not None:
        raise UsageError(f"this dictionary is there already, as {row.name}", "use it, or change what it is made of")
    if request.name not in (None, name):
        raise UsageError(f"there is a dictionary {request.name!r} already", "give another --name, or `rm` it first")
    return FitPlan(layer, name, key, config, request.overrides, None, _notes(ctx, layer, config, request))


def _notes(ctx: Context, layer: Layer, config: dict[str, Any], request: FitRequest) -> tuple[str, ...]:
    """Return what to know of a fit before it is made: that its images follow those of the harvest, or are few.

    Raises:
        UsageError: There are too few images to train on some and to measure on others.
    """
    images = config["images"]
    if images < 2:
        hint = "give at least 2 to fit --images, or to images and fit_images in the settings"
        raise UsageError(f"{images} image is too few to fit on", hint)
    notes = []
    told = request.images if request.images != ctx.settings.images else None
    if (
        (told or ctx.settings.fit_images) is None
        and images < USUAL_IMAGES
        and images == ctx.available(ctx.settings.images)
    ):
        notes.append(f"on the images that are harvested, not the usual {USUAL_IMAGES}")
    activations = images * layer.grid[0] * layer.grid[1] * len(config["capture_steps"])
    if not FITTED[config["kind"]].baseline and activations < FEW * config["latents"]:
        notes.append(f"few activations ({activations}) for so many latents")
    return tuple(notes)


def model_word(model: str) -> str:
    """Return the last part of a model's name, without a checkpoint's ending, as a word for a dictionary's name."""
    word = model.rstrip("/").rsplit("/", 1)[-1]
    for suffix in SUFFIXES:
        word = word.removesuffix(suffix)
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in word) or "model"


def dictionary_name(model: str, layer: str, stream: str, kind: str) -> str:
    """Return the name of a dictionary of this origin, before a number is added."""
    place = layer if stream == "image" else f"{layer}-{stream}"
    return f"{model_word(model)}.{place}.{kind}"


def resolve_dictionary(ctx: Context, target: Target) -> FitPlan:
    """Find the dictionary that a making command means.

    It is the named dictionary. Without a name it is the newest one fitted at the layer, as long as the settings have
    not changed since, or else one that is to be fitted. Where a layer has only imports, it is the only import.

    Raises:
        UsageError: There is no such dictionary, it is of another layer, or there are several imports to choose from.
    """
    if target.dictionary is None:
        row = ctx.dictionary_of(target.layer)
    else:
        row = ctx.dictionary_named(target.dictionary)
        if row.layer != ctx.layer(target.layer).name:
            raise UsageError(f"{row.name} belongs to layer {row.layer}, not {target.layer}", "name that layer")
    if row is None:
        return plan_fit(ctx, target.layer, _asked_for(ctx))
    plan = _plan_of(row, ctx.layer_of(row))
    if target.dictionary is None and row.images:
        current = dictionary_config(ctx, plan.layer, FitRequest(**plan.overrides))
        if identity({"fit": current}) != row.config.get("fit_identity"):
            return plan_fit(ctx, target.layer, _asked_for(ctx))
    return plan


def _asked_for(ctx: Context) -> FitRequest:
    """Return the request for a fit that a command needs, which asks for fewer images than the settings, or for more.

    A fit that there is stays the one of its layer, however many images a later command asks for.
    """
    fewer = ctx.settings.fit_images is None and ctx.settings.images < _followed(ctx.workspace.settings)
    return FitRequest(images=ctx.settings.images if fewer else None)


def _plan_of(row: models.DictionaryRow, layer: Layer) -> FitPlan:
    """Return a stored dictionary as a plan with nothing to do."""
    return FitPlan(layer, row.name, row.identity, row.config["fit"], row.config.get("overrides", {}), row)


def branch_name(row: models.DictionaryRow) -> str:
    """Return the name of a copy of a dictionary, before a number is added."""
    return dictionary_name(row.model, row.layer, row.stream, row.kind)


def branch_dictionary(ctx: Context, plan: FitPlan, key: str) -> FitPlan:
    """Copy a dictionary's weights to a new name, for results that must not replace those of `plan`.

    Returns:
        The plan for the copy, which may exist already.

    Raises:
        AutointerpError: The dictionary of `plan` is not fitted yet, or its weights are not those of its row.
    """
    import shutil

    from autointerp.dictionaries.storage import check_dictionary

    row = plan.row
    if row is None:
        raise AutointerpError(f"{plan.name} is not fitted yet", "run `autointerp fit` first")
    branched = identity({"fit": row.config["fit_identity"], "harvest": key})
    with ctx.db.session() as session:
        known = queries.dictionaries.by_identity(session, branched)
        if known is not None:
            session.expunge(known)
            return replace(plan, name=known.name, identity=branched, row=known)
        name = queries.dictionaries.free_name(session, branch_name(row))
        target = ctx.workspace.dictionary_dir(name)
        check_dictionary(ctx.workspace.dictionary_dir(row.name), row.weights_sha256)
        shutil.copytree(ctx.workspace.dictionary_dir(row.name), target, dirs_exist_ok=True)
        copy = queries.dictionaries.copy(session, row, name, branched)
    return replace(plan, name=name, identity=branched, row=copy)
