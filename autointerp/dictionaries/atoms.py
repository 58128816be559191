"""Atoms: latents of a dictionary that are activations themselves, and the places where they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch


@dataclass(frozen=True)
class AtomSources:
    """The place where each atom was read.

    While a dictionary grows, `prompts` is empty and the first column of `place` is the number of the image in the run.
    `located` turns these numbers into prompts and seeds.

    Attributes:
        prompts: Prompts of the atoms' images, each once.
        place: Number of the prompt in `prompts`, denoising step, row, column: int64 [num_atoms, 4].
        seeds: Seed of the image's noise, int64 [num_atoms].
    """

    prompts: tuple[str, ...]
    place: torch.Tensor
    seeds: torch.Tensor

    def located(self, images: Mapping[int, tuple[str, int]]) -> AtomSources:
        """Return the sources with prompts and seeds, given those of each image by its number in the run."""
        found = [images[number] for number in self.place[:, 0].tolist()]
        prompts = {prompt: None for prompt, _ in found}
        number = {prompt: i for i, prompt in enumerate(prompts)}
        place = self.place.clone()
        place[:, 0] = torch.tensor([number[prompt] for prompt, _ in found], dtype=torch.int64)
        return AtomSources(tuple(prompts), place, torch.tensor([seed for _, seed in found], dtype=torch.int64))

    def of(self, atom: int) -> tuple[str, int, int, int, int]:
        """Return (prompt, seed, step, row, col) of an atom."""
        prompt, step, row, col = self.place[atom].tolist()
        return self.prompts[prompt], int(self.seeds[atom]), step, row, col

    def all(self) -> list[tuple[str, int, int, int, int]]:
        """Return the sources of all atoms, in their order."""
        return [self.of(atom) for atom in range(len(self.place))]


@runtime_checkable
class AtomDictionary(Protocol):
    """A dictionary whose latents are atoms. `sources` is None where it is not known where they were read."""

    sources: AtomSources | None
