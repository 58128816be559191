"""The pace of this machine: how long the steps of a plan are expected to take here, before any of them has begun."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from autointerp.labeling.judging import score_method
from autointerp.project.schedule import Part, WorkSchedule

if TYPE_CHECKING:
    from autointerp.project.context import Context
    from autointerp.project.plan import Plan, Step
    from autointerp.worlds import Pace

REFERENCE = 0.012
"""Seconds of `probe` on the reference machine: two cores of an AMD EPYC without bfloat16, with nothing beside it."""
_SIDE, _TRIES = 1024, 5
_SLOWEST = 20.0
"""The most that a machine is taken to be slower, or faster, than the reference machine."""


@cache
def probe() -> float:
    """Return the seconds that this machine takes for a matrix product of float32; the best of a few."""
    import numpy as np

    one = np.ones((_SIDE, _SIDE), np.float32)
    best = float("inf")
    for _ in range(_TRIES):
        begun = time.perf_counter()
        one @ one
        best = min(best, time.perf_counter() - begun)
    return best


def slowness() -> float:
    """Return how much slower this machine is than the reference machine, within bounds."""
    return min(max(probe() / REFERENCE, 1 / _SLOWEST), _SLOWEST)


def parts_of(ctx: Context, steps: Iterable[Step], labeler: str = "") -> list[Part]:
    """Return the parts that the needed steps of a plan make, with how long each is expected to take here.

    Nothing is expected of a model that people name, nor of a labeler or judge other than the world's own.

    Args:
        ctx: The command's view of the workspace.
        steps: The steps of the plan.
        labeler: The kind of the labeler, which judges too.
    """
    needed = [step for step in steps if step.needed]
    pace = ctx.world.pace
    slower = 1.0 if pace is None else slowness()
    parts: list[Part] = []
    for step in needed:
        seconds = None if pace is None else _seconds(ctx, step, pace, labeler)
        if seconds is not None and pace is not None:
            # The first part that runs the model loads it.
            seconds = slower * (seconds + (0.0 if parts else pace.loading))
        name, unit = step.part or step.stage, "image" if step.images else ""
        detail = f"{step.images} images" if step.images else step.detail
        parts.append(Part(name, detail, step.units, unit, seconds))
    return parts


@contextmanager
def scheduled(ctx: Context, plan: Plan, what: str, labeler: str = "") -> Iterator[None]:
    """Run a command's plan by a schedule that is announced first, unless the command is a part of a longer one.

    Args:
        ctx: The command's view of the workspace.
        plan: The plan.
        what: The command, for people.
        labeler: The kind of the labeler.
    """
    shown = ctx.progress
    if isinstance(shown, WorkSchedule) or plan.nothing_to_do:
        yield
        return
    ctx.progress = schedule = WorkSchedule(shown, parts_of(ctx, plan.steps, labeler))
    schedule.announce(what)
    try:
        yield
    finally:
        ctx.progress = shown


def _seconds(ctx: Context, step: Step, pace: Pace, labeler: str) -> float | None:
    """Return the seconds that a step takes on the reference machine; None where that is not known."""
    runs = ctx.generation.steps * (2 if ctx.generation.guidance > 1 else 1)
    image = runs * pace.denoising
    if step.stage == "fit":
        passes = ctx.settings.dictionary.passes or ctx.description.defaults.passes
        return step.units * (image + passes * len(ctx.capture_steps) * pace.learning)
    if step.stage == "harvest":
        return step.units * (image + pace.painting)
    if step.stage == "index":
        return step.units * pace.indexing
    if step.stage == "evaluate":
        more, once = pace.evaluating
        return step.units * (image + pace.painting + more) + once
    is_own = labeler == ctx.world.labeler
    if step.stage == "label":
        return step.units * pace.naming if is_own else None
    if step.stage == "apart":
        return step.units * pace.telling if is_own else None
    method = step.part.removesuffix(" score")
    if method not in pace.scoring or (score_method(method).question is not None and not is_own):
        return None
    return step.units * pace.scoring[method]
