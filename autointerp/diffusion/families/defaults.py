"""Defaults of a model: how it is run and read unless a setting says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from autointerp.errors import AutointerpError, nearest

Signal = Literal["output", "update", "map"]
SIGNALS: tuple[Signal, ...] = ("output", "update")
"""The signals that people choose; `map` follows from a kind of dictionary."""


@dataclass(frozen=True)
class ModelDefaults:
    """How a model is run and read unless a setting says otherwise.

    Attributes:
        steps: Denoising steps.
        guidance: Guidance scale.
        size: Side of the square picture in pixels.
        max_sequence_length: Number of text tokens.
        capture_steps: 0-based steps at which activations are read.
        signal: Signal that is read.
        expansion: Latents of a dictionary over the layer's width.
        k: Active latents a token; None chooses by the width.
        passes: Number of times that each activation is trained on.
    """

    steps: int
    guidance: float
    size: int
    max_sequence_length: int
    capture_steps: tuple[int, ...]
    signal: Signal = "output"
    expansion: int = 8
    k: int | None = None
    passes: int = 4

    def capture_at(self, steps: int) -> tuple[int, ...]:
        """Return the default capture steps of a run of `steps` steps: those at about the same noise level."""
        if steps == self.steps:
            return self.capture_steps
        return tuple(sorted({min(round(s * steps / self.steps), steps - 1) for s in self.capture_steps}))

    def updated(self, values: Mapping[str, Any], where: str) -> ModelDefaults:
        """Put the values of a model folder's `autointerp.json` over these defaults.

        Args:
            values: The file's values by key.
            where: The file's path, for errors.

        Raises:
            AutointerpError: A key is unknown, or a value has the wrong type or range.
        """
        known = {f.name for f in fields(self)}
        for key in values:
            if key not in known:
                raise AutointerpError(f"{where} has the unknown key {key!r}", nearest(key, sorted(known)))
        merged = replace(self, **values)
        for key in (
            "steps",
            "size",
            "max_sequence_length",
            "expansion",
            "passes",
            *(["k"] if merged.k is not None else []),
        ):
            if type(getattr(merged, key)) is not int or getattr(merged, key) < 1:
                raise AutointerpError(f"{where}: {key} is {getattr(merged, key)!r}", "give a whole number above 0")
        if type(merged.guidance) not in (int, float) or merged.guidance < 0:
            raise AutointerpError(f"{where}: guidance is {merged.guidance!r}", "give a number of 0 or more")
        if merged.signal not in ("output", "update"):
            raise AutointerpError(f"{where}: signal is {merged.signal!r}", nearest(merged.signal, ["output", "update"]))
        steps = merged.capture_steps
        if not isinstance(steps, Sequence) or not steps or not all(type(s) is int for s in steps):
            raise AutointerpError(f"{where}: capture_steps is {steps!r}", "give a list of step numbers")
        if "capture_steps" not in values:
            return replace(merged, capture_steps=self.capture_at(merged.steps), guidance=float(merged.guidance))
        if not 0 <= min(steps) <= max(steps) < merged.steps:
            raise AutointerpError(
                f"{where}: capture_steps {list(steps)} do not fit {merged.steps} steps",
                f"give numbers from 0 to {merged.steps - 1}",
            )
        return replace(merged, capture_steps=tuple(sorted(set(steps))), guidance=float(merged.guidance))
