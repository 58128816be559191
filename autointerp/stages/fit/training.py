"""Stage `fit`, carried out: one generation pass, one trainer for each dictionary, a checkpoint after each round."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import models, queries
from autointerp.dictionaries.kinds import FITTED
from autointerp.errors import UsageError
from autointerp.files import whole_file
from autointerp.project.context import Context
from autointerp.project.runs import running
from autointerp.project.schedule import part_of
from autointerp.stages.fit.activations import ActivationSource
from autointerp.stages.fit.planning import CacheRequest, FitPlan

if TYPE_CHECKING:
    from autointerp.dictionaries.fitting import FitConfig, Trainer
    from autointerp.dictionaries.metrics import Reconstruction
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.dictionaries.rounds import Round
    from autointerp.progress import Task

MEASURED_SHARE = 0.05
"""Share of the images that dictionaries are measured on and never trained on."""


def run_fits(ctx: Context, plans: Sequence[FitPlan], cache: CacheRequest | None = None) -> list[models.DictionaryRow]:
    """Fit dictionaries in one generation pass, each from its last checkpoint on.

    All plans have the same images, steps and buffer. Returns the stored dictionaries, detached, in the plans' order.
    """
    todo = [plan for plan in plans if plan.row is None]
    made: dict[str, models.DictionaryRow] = {}
    if todo:
        with part_of(ctx.progress, "fit"), ExitStack() as stack:
            fits = []
            for plan in todo:
                for note in plan.notes:
                    ctx.progress.note(f"fit {plan.name}: {note}")
                work = queries.runs.PlannedRun("fit", plan.identity, plan.config, plan.config["images"])
                run = running(ctx.db, work)
                fits.append(_Fit(ctx, plan, stack.enter_context(run).id))
            made = _fit_all(ctx, fits, cache)
    return [plan.row or made[plan.identity] for plan in plans]


def image_rounds(plan: FitPlan) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Return the ranges of images to train on, each a round, and the range to measure on.

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
    """Return how many activations an image of the run's size has."""
    return plan.layer.grid[0] * plan.layer.grid[1] * len(plan.config["capture_steps"])


def _fit_all(ctx: Context, fits: Sequence[_Fit], cache: CacheRequest | None) -> dict[str, models.DictionaryRow]:
    """Train all dictionaries round by round, measure them, and store them; the stored dictionaries by identity."""
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
    """One dictionary under way: its trainer and its checkpoint."""

    def __init__(self, ctx: Context, plan: FitPlan, run_id: int) -> None:
        from autointerp.dictionaries.fitting import make_trainer

        self.ctx, self.plan, self.run_id = ctx, plan, run_id
        self.rounds, self.measured = image_rounds(plan)
        self.trainer: Trainer = make_trainer(
            _fit_config(ctx, plan, len(self.rounds)), plan.layer.d_in, ctx.model.device
        )
        self.seconds = 0.0
        """Time spent in training, without generation."""
        self.seen = self._resume()
        """How many images the trainer has seen."""

    @property
    def _path(self) -> Path:
        """The checkpoint. It is a file: the state of a wide layer's fit is too large for one value of a database."""
        return self.ctx.workspace.dictionary_dir(self.plan.name) / "fit.checkpoint"

    def train(self, given: Round, stop: int, bar: Task) -> None:
        """Train on the round that ends with image `stop`, and write a checkpoint."""
        from autointerp.dictionaries.rounds import Round

        begun = time.perf_counter()
        note = self.trainer.train_round(Round(given.acts.to(self.ctx.model.device), given.places))
        self.seconds += time.perf_counter() - begun
        wanted = self.trainer.rounds_wanted
        self.seen = self.measured[0] if wanted is not None and stop >= self.rounds[wanted - 1][1] else stop
        bar.advance(0, note)
        self._save()
        with self.ctx.db.session() as session:
            queries.runs.advance(session, self.run_id, self.seen)

    def _save(self) -> None:
        """Write the checkpoint."""
        import torch

        path = self._path
        state = {
            "fit": self.plan.identity,
            "seen": self.seen,
            "seconds": self.seconds,
            "trainer": self.trainer.state_dict(),
        }
        with whole_file(path, hint="free some space or check its permissions, then run it again") as partial:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(state, file)

    def _resume(self) -> int:
        """Load the checkpoint of a stopped fit of the same identity. Returns how many images it had seen."""
        import torch

        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return 0
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
            return 0  # A damaged checkpoint costs no more than the time that it saved.
        if state.get("fit") != self.plan.identity or "seen" not in state:
            return 0  # Another fit was stopped under the same name.
        self.trainer.load_state_dict(state["trainer"])
        self.seconds = state["seconds"]
        return int(state["seen"])

    def store(self, held_out: Round) -> models.DictionaryRow:
        """Measure the dictionary on activations that it was not trained on, and store it. Returns its row, detached."""
        from autointerp.dictionaries.atoms import AtomDictionary

        # Measure where the model runs: on a processor an ITDA of a wide layer would take minutes.
        dictionary = self.trainer.dictionary().to(self.ctx.model.device)
        figures = measure(dictionary, held_out, self.ctx.model.device).figures()
        dictionary = dictionary.to("cpu")
        if isinstance(dictionary, AtomDictionary) and dictionary.sources is not None:
            jobs = self.ctx.jobs(0, self.measured[0])
            dictionary.sources = dictionary.sources.located({job.index: (job.prompt, job.seed) for job in jobs})
        return _store(self.ctx, self.plan, self.run_id, dictionary, {**figures, "fit_seconds": self.seconds})


def _fit_config(ctx: Context, plan: FitPlan, rounds: int) -> FitConfig:
    """Return what the trainer has to know of a plan."""
    from autointerp.dictionaries.fitting import FitConfig

    config = plan.config
    trained_on = image_rounds(plan)[1][0]
    return FitConfig(
        config["kind"],
        config["latents"],
        config["k"],
        tokens=ctx.tokens(plan.layer, 0, trained_on) * len(config["capture_steps"]),
        rounds=rounds,
        steps=tuple(config["capture_steps"]),
        seed=config["fit_seed"],
        options={name: config[name] for name in FITTED[config["kind"]].options},
    )


def measure(dictionary: Dictionary, held_out: Round, device: str = "cpu", batch: int = 4096) -> Reconstruction:
    """Measure how well a dictionary, which is on a device, rebuilds a round's activations."""
    from autointerp.dictionaries.metrics import Reconstruction

    figures = Reconstruction(dictionary.d_in, dictionary.num_latents)
    for acts, steps in zip(held_out.acts.split(batch), held_out.steps.split(batch), strict=True):
        figures.update(dictionary, acts.to(device), steps)
    return figures


def _store(
    ctx: Context, plan: FitPlan, run_id: int, dictionary: Dictionary, figures: dict[str, float]
) -> models.DictionaryRow:
    """Write a dictionary's weights and its row, and finish its run."""
    from autointerp.dictionaries.storage import save_dictionary

    layer, config = plan.layer, plan.config
    provenance = {"layer": layer.name, "grid": list(layer.grid), **config}
    digest = save_dictionary(dictionary, ctx.workspace.dictionary_dir(plan.name), provenance)
    with ctx.db.session() as session:
        row = models.DictionaryRow(
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
        dictionary_id = queries.dictionaries.add(session, row)
        queries.runs.finish(session, run_id, dictionary_id, figures)
        row = queries.dictionaries.detached(session, dictionary_id)
    (ctx.workspace.dictionary_dir(plan.name) / "fit.checkpoint").unlink(missing_ok=True)
    return row
