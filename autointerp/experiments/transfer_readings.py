"""What `transfer` keeps of pictures under a condition: sums by picture, step and way, and how they are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.experiments.packing import pack, unpack
from autointerp.experiments.subjects import NamedFeature, resized

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.dictionaries.protocol import Dictionary, SparseCode
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.layers import Layer
    from autointerp.worlds import SceneReader

WAYS = ("dictionary", "random")
"""What encodes the activations: the dictionary, and its control."""


class TransferReading:
    """What is read of one unit: sums of each picture, by step and way.

    Args:
        layer: The layer.
        ways: What encodes, by way.
        centre: The layer's mean, float32 [d_in], which squares are taken from.
        sampled: The latents whose maxima are kept.
        named: The features whose labels are held against the scenes.
    """

    def __init__(
        self,
        layer: Layer,
        ways: Mapping[str, Dictionary],
        centre: torch.Tensor,
        sampled: np.ndarray,
        named: Sequence[NamedFeature],
    ) -> None:
        self.layer, self.ways, self.centre, self.sampled, self.named = layer, ways, centre, sampled, named
        self.steps: dict[int, dict[str, Any]] = {}
        self._codes: list[tuple[int, tuple[int, ...], np.ndarray, np.ndarray]] = []

    def consume(self, read: LayerActivations) -> None:
        """Take in a batch's activations at one step; of a text, those of the tokens that count."""
        import torch

        from autointerp.dictionaries.sparse import times_fired

        images, cells, width = read.acts.shape
        acts = read.acts.reshape(-1, width)
        own = torch.ones(images, cells, dtype=torch.bool) if read.mask is None else read.mask
        own = own.to(acts.device)
        shifted = (acts - self.centre.to(acts)) * own.reshape(-1, 1)
        here = self.steps.setdefault(
            read.step,
            {"cells": 0, "sum": 0.0, "square": [], "ways": {way: _empty() for way in self.ways}, "labels": None},
        )
        here["cells"] += int(own.sum())
        here["sum"] = here["sum"] + shifted.double().sum(0).cpu().numpy()
        here["square"].append(shifted.square().sum(1).double().reshape(images, cells).sum(1).cpu().numpy())
        for way, dictionary in self.ways.items():
            code = read.counted(dictionary.encode(acts, read.step))
            error = ((acts - dictionary.decode(code)).square().sum(1).double().reshape(images, cells) * own).sum(1)
            of = here["ways"][way]
            of["error"].append(error.cpu().numpy())
            active = (code.latent_acts > 0).sum(1).double().reshape(images, cells).sum(1)
            of["l0"].append((active / own.sum(1).clamp(min=1)).cpu().numpy())
            of["fired"] = of["fired"] + times_fired(code, dictionary.num_latents).cpu().numpy()
            peaks = torch.zeros(images, dictionary.num_latents, device=acts.device)
            at = code.latent_indices.reshape(images, -1)
            peaks.scatter_reduce_(1, at, code.latent_acts.float().reshape(images, -1), "amax")
            of["maxima"].append(peaks.cpu().numpy()[:, self.sampled].astype(np.float16))
            if way == WAYS[0] and self.named:
                indices = tuple(job.index for job in read.jobs)
                self._codes.append((read.step, indices, *_on_cells(code, images)))

    def see(self, scenes: SceneReader, indices: Sequence[int], pictures: Sequence[Image.Image]) -> None:
        """Hold labels against the pictures of a batch whose activations were taken in."""
        facts = scenes.read(pictures)
        names = list(dict.fromkeys(one.name for one in self.named))
        found = {name: scenes.holds(name, facts) for name in names}
        grid, flat = self.layer.grid, len(facts)
        masks = {
            name: resized(mask, grid).reshape(flat, -1) if mask is not None else None for name, mask in found.items()
        }
        for step, of, acts, latents in self._codes:
            assert of == tuple(indices)
            labels = self.steps[step]["labels"]
            if labels is None:
                labels = self.steps[step]["labels"] = np.zeros((3, len(self.named)), np.int64)
            for number, one in enumerate(self.named):
                mask = masks[one.name]
                if mask is None:
                    continue
                active = ((latents == one.latent) & (acts > one.threshold)).any(2)
                labels[0, number] += int(active.sum())
                labels[1, number] += int((active & mask).sum())
                labels[2, number] += int(mask.sum())
        self._codes = []

    def result(self) -> dict[str, Any]:
        """Return the unit's result as plain JSON."""
        return {"steps": [self._of_step(self.steps[step]) for step in sorted(self.steps)]}

    def _of_step(self, here: dict[str, Any]) -> dict[str, Any]:
        ways = {
            way: {
                "error": [float(v) for v in np.concatenate(of["error"])],
                "l0": [float(v) for v in np.concatenate(of["l0"])],
                "fired": pack(of["fired"].astype(np.int32)),
                "maxima": pack(np.concatenate(of["maxima"])),
            }
            for way, of in here["ways"].items()
        }
        labels = here["labels"]
        return {
            "cells": here["cells"],
            "sum": pack(here["sum"]),
            "square": [float(v) for v in np.concatenate(here["square"])],
            "ways": ways,
            "labels": None if labels is None else labels.tolist(),
        }


def _empty() -> dict[str, Any]:
    return {"error": [], "l0": [], "fired": 0, "maxima": []}


def _on_cells(code: SparseCode, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return acts and latents by picture and cell, [images, cells, k]."""
    acts, latents = (part.cpu().numpy().reshape(images, -1, part.shape[-1]) for part in code)
    return acts, latents


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what was read of all units at one step."""
    cells = sum(part["cells"] for part in parts)
    square = np.concatenate([part["square"] for part in parts])
    total = np.sum([unpack(part["sum"]) for part in parts], axis=0)
    ways = {
        way: {
            "error": np.concatenate([part["ways"][way]["error"] for part in parts]),
            "variance": around_mean(square, total, cells),
            "l0": np.concatenate([part["ways"][way]["l0"] for part in parts]),
            "fired": np.sum([unpack(part["ways"][way]["fired"]) for part in parts], axis=0),
            "maxima": np.concatenate([unpack(part["ways"][way]["maxima"]) for part in parts]),
        }
        for way in WAYS
    }
    counted = [part["labels"] for part in parts if part["labels"] is not None]
    return {"cells": cells, "ways": ways, "labels": np.sum(counted, axis=0) if counted else None}


def around_mean(square: np.ndarray, total: np.ndarray, cells: int) -> np.ndarray:
    """Return squared distances from a fixed point, scaled to the sum that those from the mean of all cells have.

    Args:
        square: Each picture's sum over cells, float64 [pictures].
        total: Sum over all cells of the difference from the fixed point, float64 [d_in].
        cells: Number of cells.
    """
    return np.asarray(square * (1 - float(total @ total) / max(cells * float(square.sum()), 1e-30)))
