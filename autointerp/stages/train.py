"""Stage `fit`, carried out: one generation pass, a trainer a dictionary, a checkpoint after each round."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import models
from autointerp.errors import AutointerpError, UsageError
from autointerp.stages.activations import ActivationSource
from autointerp.stages.context import Context
from autointerp.stages.fit import SAES, CacheRequest, FitPlan
from autointerp.stages.runs import advance, finish, running

if TYPE_CHECKING:
    from autointerp.dictionaries.fitting import FitConfig, Trainer
    from autointerp.dictionaries.metrics import Reconstruction
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.dictionaries.rounds import Round
    from autointerp.progress import Task

MEASURED_SHARE = 0.05
"""Share of the images that are only measured on, never trained on."""


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
    """Activations of one image of the run's size."""
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
        self.trainer: Trainer = make_trainer(
            _fit_config(ctx, plan, len(self.rounds)), plan.layer.d_in, ctx.model.device
        )
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
            advance(session, self.run_id, self.seen)

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
            jobs = self.ctx.jobs(0, self.measured[0])
            dictionary.sources = dictionary.sources.located({job.index: (job.prompt, job.seed) for job in jobs})
        figures = measure(dictionary, held_out).figures()
        return _store(self.ctx, self.plan, self.run_id, dictionary, {**figures, "fit_seconds": self.seconds})


def _fit_config(ctx: Context, plan: FitPlan, rounds: int) -> FitConfig:
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
        tokens=ctx.tokens(plan.layer, 0, trained_on) * len(config["capture_steps"]),
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
