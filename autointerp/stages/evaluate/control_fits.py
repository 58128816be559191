"""Controls of directions, made: from the run's images, in one pass for all of them, with a checkpoint after each round.

What is read is the layer, the denoiser's input, or the same layer of a denoiser with weights drawn anew; see
`diffusion.shadow`. Memory holds one round of each, and a sample of the layer's activations.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autointerp.dictionaries.baselines import PCA, RandomDirections, random_activations, spherical_means
from autointerp.dictionaries.fitting import FitConfig, Trainer, make_trainer
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.rounds import Round
from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.generation import generate
from autointerp.diffusion.shadow import LatestCall, ShadowLayer, noting_calls, rerandomised
from autointerp.files import whole_file
from autointerp.project.context import Context
from autointerp.stages.evaluate.controls import CHEAP, FEW_IMAGES, LEARNED, ControlPlan, checkpoint_of
from autointerp.stages.evaluate.observing import FiringObserver

if TYPE_CHECKING:
    from autointerp.progress import Task

Read = Callable[[LayerActivations], torch.Tensor]
"""Reads a control's activations [images, cells, d] beside those of the layer."""
SAMPLE = 65_536
"""Activations that k-means and principal components are made from, at most: 50 MB of a layer of 192 dimensions."""


class Beside:
    """What controls read while the trained model runs.

    Args:
        ctx: The command's view of the workspace.
        call: The denoiser's latest call.
    """

    def __init__(self, ctx: Context, call: LatestCall) -> None:
        self.ctx, self.call = ctx, call
        self._twins: dict[int, torch.nn.Module] = {}

    def reader(self, plan: ControlPlan) -> Read:
        """Return what reads a control's activations."""
        if plan.name == "raw":
            return lambda captured: self.call.raw(len(captured.jobs), captured.grid)
        if plan.name == "rerandomised":
            seed = plan.config["control_seed"]
            if seed not in self._twins:
                self._twins[seed] = rerandomised(self.ctx.model.denoiser, seed)
            shadow = ShadowLayer(self.ctx.model, self._twins[seed], plan.layer)
            return lambda captured: shadow.read(self.call, len(captured.jobs))
        return lambda captured: captured.acts


@contextmanager
def control_observers(ctx: Context, plans: Sequence[ControlPlan]) -> Iterator[dict[str, FiringObserver]]:
    """Make the directions of controls, and yield what observes each on the held-out images, by its identity.

    The observers read the model's calls, which are noted as long as the context lasts.
    """
    if not plans:
        yield {}
        return
    makers = [_Fitted(ctx, plan) if plan.name in LEARNED else _Sampled(plan) for plan in plans]
    with noting_calls(ctx.model) as call:
        beside = Beside(ctx, call)
        for maker in makers:
            maker.read = beside.reader(maker.plan)
        _pass_over(ctx, makers)
        made = {maker.plan.identity: (maker, maker.dictionary().to(ctx.model.device)) for maker in makers}
        yield {
            key: FiringObserver(dictionary, maker.plan.layer, maker.plan.steps, maker.read)
            for key, (maker, dictionary) in made.items()
        }


def _pass_over(ctx: Context, makers: Sequence[_Maker]) -> None:
    """Generate the images that the controls are made from, a round at a time."""
    last = max(maker.last for maker in makers)
    tokens = max(m.plan.layer.grid[0] * m.plan.layer.grid[1] * len(m.plan.steps) for m in makers)
    size = max(1, min(maker.plan.config["buffer"] for maker in makers) // tokens)
    # The first round ends where the few images end, so that these are the same whatever else is made.
    few = min(FEW_IMAGES, last)
    edges = [0, few, *range(few + size, last, size), *([last] if last > few else [])]
    first = min(maker.seen for maker in makers)
    with ctx.progress.task("controls: reading", last, first, unit="image") as bar:
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            wanted = [maker for maker in makers if maker.seen <= start < maker.last]
            if wanted:
                _read_round(ctx, wanted, start, stop, bar)
                for maker in wanted:
                    maker.take(stop)


def _read_round(ctx: Context, makers: Sequence[_Maker], start: int, stop: int, bar: Task) -> None:
    """Read the images `start` to `stop` for some controls."""
    layers = list(dict.fromkeys(maker.plan.layer for maker in makers))
    steps = sorted({step for maker in makers for step in maker.plan.steps})

    def keep(captured: LayerActivations) -> None:
        for maker in makers:
            if captured.layer == maker.plan.layer and captured.step in maker.plan.steps:
                maker.add(captured)

    batches = generate(
        ctx.model, ctx.jobs(start, stop), ctx.generation, Capture(layers, steps, keep), ctx.settings.batch_size, False
    )
    for batch, _ in batches:
        bar.advance(len(batch))


class _Maker:
    """A control that is made from activations."""

    def __init__(self, plan: ControlPlan) -> None:
        self.plan = plan
        self.seen = 0
        """How many images it has taken in."""
        self.last = plan.fit_images
        self.read: Read = lambda captured: captured.acts
        self._round: list[torch.Tensor] = []
        self._steps: list[torch.Tensor] = []

    def add(self, captured: LayerActivations) -> None:
        """Read a batch at one step."""
        flat = captured.flat(self.read(captured))
        self._round.append(flat.to("cpu", copy=True))
        self._steps.append(torch.full((len(flat),), captured.step))

    def round(self) -> Round:
        """Return the activations of the round, and forget them."""
        steps = torch.cat(self._steps)
        places = torch.zeros(len(steps), 4, dtype=torch.int64)
        places[:, 1] = steps
        found = Round(torch.cat(self._round), places)
        self._round, self._steps = [], []
        return found

    def take(self, stop: int) -> None:
        """Take in the round that ends with image `stop`."""
        raise NotImplementedError

    def dictionary(self) -> Dictionary:
        """Return what was made."""
        raise NotImplementedError


class _Sampled(_Maker):
    """Directions that are drawn from, or measured on, a sample of the layer's activations."""

    def __init__(self, plan: ControlPlan) -> None:
        super().__init__(plan)
        self._sample: list[torch.Tensor] = []

    def take(self, stop: int) -> None:
        """Keep the round's share of the sample; of the first images all."""
        acts = self.round().acts
        if self.plan.name not in CHEAP:
            share = max(1, SAMPLE * (stop - self.seen) // self.last)
            draw = torch.Generator().manual_seed((self.plan.config["control_seed"] << 20) + 23 + self.seen)
            acts = acts[torch.randperm(len(acts), generator=draw)[:share]]
        self._sample.append(acts)
        self.seen = stop

    def dictionary(self) -> Dictionary:
        """Make the directions."""
        acts, config = torch.cat(self._sample), self.plan.config
        latents, k, seed = config["latents"], config["k"], config["control_seed"]
        if self.plan.name == "random":
            return RandomDirections.draw(Normalization.measure(acts), latents, k, seed)
        if self.plan.name == "activations":
            return random_activations(acts, latents, k, seed)
        if self.plan.name == "kmeans":
            return spherical_means(acts, latents, k, seed)
        return PCA.measure_scaled(acts, latents, k)


class _Fitted(_Maker):
    """A fit like the dictionary's own, on activations that the model did not learn to make."""

    def __init__(self, ctx: Context, plan: ControlPlan) -> None:
        super().__init__(plan)
        self.ctx = ctx
        self._trainer: Trainer | None = None
        self._state: dict[str, Any] | None = self._load()
        self.seen = 0 if self._state is None else int(self._state["seen"])

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return checkpoint_of(self.ctx, self.plan)

    def _load(self) -> dict[str, Any] | None:
        with suppress(RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            return state if state.get("control") == self.plan.identity else None
        return None

    def trainer(self, d_in: int) -> Trainer:
        """Return the fit under way, for activations of a width."""
        if self._trainer is None:
            config = self.plan.config
            rows, cols = self.plan.layer.grid
            tokens = rows * cols * len(self.plan.steps) * self.last
            rounds = max(1, -(-tokens // config["buffer"]))
            seed, options = config["control_seed"], config["options"]
            fit = FitConfig(
                config["fit_kind"], config["latents"], config["k"], tokens, rounds, self.plan.steps, seed, options
            )
            self._trainer = make_trainer(fit, d_in, self.ctx.model.device)
            if self._state is not None:
                self._trainer.load_state_dict(self._state["trainer"])
        return self._trainer

    def take(self, stop: int) -> None:
        """Train on the round, and write a checkpoint."""
        given = self.round()
        width = given.acts.shape[1]
        trainer = self.trainer(width)
        trainer.train_round(Round(given.acts.to(self.ctx.model.device), given.places))
        wanted = trainer.rounds_wanted
        self.seen = self.last if wanted is not None else stop
        state = {"control": self.plan.identity, "seen": self.seen, "d_in": width, "trainer": trainer.state_dict()}
        with whole_file(self.path, hint="free some space or check its permissions, then run it again") as partial:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(state, file)

    def dictionary(self) -> Dictionary:
        """Return the fitted dictionary."""
        if self._trainer is None and self._state is not None:
            self.trainer(int(self._state["d_in"]))
        assert self._trainer is not None
        return self._trainer.dictionary()
