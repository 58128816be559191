"""How a VLM is asked for verdicts: the prompt file, the pictures, the form of the reply, and what the reply says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from autointerp.labeling.asking.messages import Mark
from autointerp.labeling.protocol import CropEvidence, Trial, Verdict

if TYPE_CHECKING:
    from PIL import Image

Views = Callable[[CropEvidence, Mark], "list[Image.Image]"]
"""Return the pictures that show a crop, in the order in which they are sent; the mark is that of the settings."""


@dataclass(frozen=True)
class TrialQuestion:
    """One way to ask for verdicts.

    Attributes:
        purpose: Name of the score that asks.
        prompt: File name of the prompt.
        views: The pictures that show a crop.
        schema: JSON schema of the reply.
        form: The reply as it is read.
        read: Return the verdicts on the trials of one request. Raises ValueError where the reply does not fit them.
        trials: Trials of a label, at most.
        panel: Trials that are answered by one choice; 1 where each is answered by itself.
        whole: Whether pictures are shown whole, without a mark. Many labels share such pictures.
        shared: Trials whose answers all labels of a name share, at most.
        by_cell: Whether a single cell is marked, whatever the feature does elsewhere: never by a map of activations.
    """

    purpose: str
    prompt: str
    views: Views
    schema: dict[str, Any]
    form: type[BaseModel]
    read: Callable[[Any, Sequence[Trial]], list[Verdict]]
    trials: int
    panel: int = 1
    whole: bool = False
    shared: int = 0
    by_cell: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """What identifies the question among a judge's options."""
        limits = {"questions": self.trials, "cells": self.shared} if self.shared else {}
        return {"question": self.purpose, **limits}

    def requests(self, batch: int) -> int:
        """Return how many requests a label takes at most, with `batch` pictures in each."""
        return ceil(self.trials / (batch if self.panel == 1 else self.panel))

    def batches(self, trials: Sequence[Trial], batch: int) -> list[list[Trial]]:
        """Part the trials into requests, in order: a panel, or up to `batch` trials without a panel."""
        parted: list[list[Trial]] = []
        for trial in trials:
            last = parted[-1] if parted else None
            alike = last is not None and last[0].panel == trial.panel
            if alike and last is not None and (trial.panel is not None or len(last) < batch):
                last.append(trial)
            else:
                parted.append([trial])
        return parted


def check_count(found: int, what: str, trials: Sequence[Trial]) -> None:
    """Raise ValueError unless a reply holds as many answers as there are trials."""
    if found != len(trials):
        raise ValueError(f"{found} {what} for {len(trials)} images")
