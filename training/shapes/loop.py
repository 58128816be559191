"""The loop under every trainer: seeded, resumable to the same weights, with a progress bar.

A trainer draws everything random in step n from a generator seeded with (seed, n), so that a checkpoint needs
no generator state: killed at any moment, it goes on from the last checkpoint as if nothing had happened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch

from autointerp.files import replacing
from autointerp.progress import NullProgress, Progress


class Training(Protocol):
    """One thing to train.

    `name` names its checkpoint; `steps` is how many steps make it whole; `parts` are what its checkpoint
    holds (modules, optimizers, averages: anything with `state_dict` and `load_state_dict`).
    """

    name: str
    steps: int
    parts: dict[str, Any]

    def step(self, index: int) -> str:
        """Do step `index` and return a short note of how it goes."""
        ...

    def save(self, folder: Path) -> None:
        """Write the trained weights, half precision, in the form the package ships."""
        ...


class Average:
    """An exponential moving average of a module's parameters, with a warm-up so that it forgets the start."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self._live = dict(module.named_parameters())
        self._mean = {name: p.detach().clone() for name, p in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the live parameters."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(list(self._mean.values()), list(self._live.values()), 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averaged and the live parameters; a second call undoes the first."""
        for name, p in self._live.items():
            kept = p.detach().clone()
            p.copy_(self._mean[name])
            self._mean[name] = kept

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"count": self.count, "mean": self._mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's average."""
        self.count = state["count"]
        for name, value in state["mean"].items():
            self._mean[name].copy_(value)


def checkpoint_path(folder: Path, name: str) -> Path:
    """Where a trainer's checkpoint lies."""
    return folder / f"{name}.checkpoint.pt"


def save_checkpoint(folder: Path, trainer: Training, done: int) -> None:
    """Write a checkpoint whole or not at all."""
    path = checkpoint_path(folder, trainer.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"done": done, **{name: part.state_dict() for name, part in trainer.parts.items()}}
    with replacing(path) as partial:
        torch.save(state, partial)


def load_checkpoint(folder: Path, trainer: Training) -> int:
    """Take up the last checkpoint, if there is one; return how many steps it had done."""
    path = checkpoint_path(folder, trainer.name)
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in trainer.parts.items():
        part.load_state_dict(state[name])
    return int(state["done"])


def train(trainer: Training, folder: Path, progress: Progress | None = None, every: int = 250) -> None:
    """Train to the end, with a checkpoint every `every` steps, from the last one if there is one."""
    progress = progress or NullProgress()
    done = load_checkpoint(folder, trainer)
    with progress.task(trainer.name, trainer.steps, done, unit="step") as bar:
        for index in range(done, trainer.steps):
            bar.advance(1, trainer.step(index))
            if (index + 1) % every == 0 or index + 1 == trainer.steps:
                save_checkpoint(folder, trainer, index + 1)


def generator(seed: int, step: int) -> torch.Generator:
    """The generator of one step."""
    return torch.Generator().manual_seed((seed << 32) + step)


def warm_cosine(optimizer: torch.optim.Optimizer, step: int, steps: int, warm: int, floor: float = 0.02) -> None:
    """Set every group's rate: a linear rise over `warm` steps, then half a cosine down to `floor` of its peak."""
    import math

    if step < warm:
        factor = (step + 1) / warm
    else:
        factor = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))
    for group in optimizer.param_groups:
        group.setdefault("peak", group["lr"])
        group["lr"] = group["peak"] * factor


def warm_hold_fall(optimizer: torch.optim.Optimizer, step: int, steps: int, warm: int, fall: float = 0.3) -> None:
    """Set every group's rate: a linear rise, the peak held, and a linear fall to zero over the last share `fall`.

    Unlike a cosine it does not depend on `steps` until the fall begins, so a longer training can go on from a
    checkpoint of a shorter one.
    """
    factor = min((step + 1) / warm, 1.0, max((steps - step) / max(steps * fall, 1), 1e-3))
    for group in optimizer.param_groups:
        group.setdefault("peak", group["lr"])
        group["lr"] = group["peak"] * factor
