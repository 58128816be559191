"""What is read of pictures of one model: in how many cells of each one a feature fires, and what is left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.dictionaries.rebuilding import aimed_at, rebuilt
from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.transfer_readings import around_mean

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary, SparseCode
    from autointerp.diffusion.capture import LayerActivations


class ModelReading:
    """Sums over the cells and steps of each picture, taken in batch by batch.

    Args:
        dictionary: The dictionary, on the device of the activations.
        told: The steps that are read, each with the step of the workspace's model that the dictionary is told.
    """

    def __init__(self, dictionary: Dictionary, told: Mapping[int, int]) -> None:
        self.dictionary, self.told = dictionary, told
        self.centre = rebuilt_of_nothing(dictionary)
        self.total: np.ndarray | float = 0.0
        self.found: dict[int, dict[str, Any]] = {}
        """By the index of a picture: cells, fired [num_latents], error, square."""

    def consume(self, read: LayerActivations) -> None:
        """Take in a batch's activations at one step."""
        import torch

        images, cells, width = read.acts.shape
        acts = read.acts.reshape(-1, width)
        code = self.dictionary.encode(acts, self.told[read.step])
        aim = aimed_at(self.dictionary, acts)
        shifted = aim - self.centre.to(acts)
        self.total = self.total + shifted.double().sum(0).cpu().numpy()
        square, error = (
            values.square().sum(1).double().reshape(images, cells).sum(1).cpu().numpy()
            for values in (shifted, aim - rebuilt(self.dictionary, acts, code))
        )
        fired = torch.zeros(images, self.dictionary.num_latents, dtype=torch.int32, device=acts.device)
        at = code.latent_indices.reshape(images, -1)
        fired.scatter_add_(1, at, (code.latent_acts > 0).reshape(images, -1).int())
        for job, *values in zip(read.jobs, fired.cpu().numpy(), error, square, strict=True):
            here = self.found.setdefault(job.index, {"cells": 0, "fired": 0, "error": 0.0, "square": 0.0})
            here["cells"] += cells
            for name, value in zip(("fired", "error", "square"), values, strict=True):
                here[name] = here[name] + value

    def result(self, indices: Sequence[int]) -> dict[str, Any]:
        """Return the result of pictures, in the order of their indices, as plain JSON."""
        own = [self.found[index] for index in indices]
        return {
            "cells": [one["cells"] for one in own],
            "error": [float(one["error"]) for one in own],
            "square": [float(one["square"]) for one in own],
            "total": pack(np.asarray(self.total)),
            "fired": pack(np.stack([one["fired"] for one in own]).astype(np.int32)),
        }


def rebuilt_of_nothing(dictionary: Dictionary) -> torch.Tensor:
    """Return what a dictionary rebuilds of a code in which nothing fires, float32 [1, d_in], on the CPU."""
    import torch

    from autointerp.dictionaries.protocol import SparseCode

    device = dictionary.directions.device
    nothing = torch.zeros(1, 1, device=device)
    return dictionary.decode(SparseCode(nothing, nothing.long())).cpu()


@dataclass(frozen=True)
class ReadPictures:
    """Pictures of one model, as `ModelReading` read them.

    Attributes:
        cells: Cells of each picture, over all steps, int64 [pictures].
        fired: Cells in which each feature fires, int32 [pictures, num_latents].
        error: Squared distance of the activations from what the dictionary rebuilds, float64 [pictures].
        variance: Squared distance from the mean of all cells, float64 [pictures].
    """

    cells: np.ndarray
    fired: np.ndarray
    error: np.ndarray
    variance: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Mapping[str, Any]]) -> ReadPictures:
        """Join results, in their order."""
        cells = np.concatenate([part["cells"] for part in parts])
        square = np.concatenate([part["square"] for part in parts])
        total = np.sum([unpack(part["total"]) for part in parts], axis=0)
        return cls(
            cells=cells,
            fired=np.concatenate([unpack(part["fired"]) for part in parts]),
            error=np.concatenate([part["error"] for part in parts]),
            variance=around_mean(square, total, int(cells.sum())),
        )

    @property
    def density(self) -> np.ndarray:
        """Share of each picture's cells in which a feature fires, float64 [pictures, num_latents]."""
        return np.asarray(self.fired / self.cells[:, None])


class FiringMaps:
    """Where a few features fire in a few pictures, at any of the steps.

    Args:
        dictionary: The dictionary, on the device of the activations.
        told: As of `ModelReading`.
        latents: The features.
    """

    def __init__(self, dictionary: Dictionary, told: Mapping[int, int], latents: Sequence[int]) -> None:
        self.dictionary, self.told, self.latents = dictionary, told, tuple(latents)
        self.maps: dict[tuple[int, int], np.ndarray] = {}
        """By the index of a picture and the latent: bool [rows, cols]."""

    def consume(self, read: LayerActivations) -> None:
        """Take in a batch's activations at one step."""
        code = self.dictionary.encode(read.acts.reshape(-1, read.acts.shape[-1]), self.told[read.step])
        for latent in self.latents:
            fires = _fires(code, latent).reshape(len(read.jobs), *read.grid).cpu().numpy()
            for job, here in zip(read.jobs, fires, strict=True):
                self.maps[job.index, latent] = here | self.maps.get((job.index, latent), False)


def _fires(code: SparseCode, latent: int) -> torch.Tensor:
    """Return in which rows of a code a latent fires, bool [n]."""
    return ((code.latent_indices == latent) & (code.latent_acts > 0)).any(1)
