"""ITDA: a dictionary whose atoms are activations that were seen, so that each has a picture of its own.

Leask et al., "Inference-Time Decomposition of Activations" (arXiv 2505.17769), in the form that arXiv 2505.24360
uses on diffusion models: atoms are what the dictionary so far explains badly, and an activation is decomposed by
non-negative gradient pursuit, in growth and in use alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.pursuit import GRAM_BYTES, gradient_pursuit, matching_pursuit
from autointerp.dictionaries.sparse import decode_sparse

Encoder = Literal["exact", "fast", "matching"]
"""`exact` and `fast`: the modes of gradient pursuit; `matching`: the signed matching pursuit of the original code."""
ENCODERS: tuple[str, ...] = get_args(Encoder)


@dataclass(frozen=True)
class AtomSources:
    """Where each atom was seen.

    `place` is int64 [num_atoms, 4]: number of the prompt in `prompts`, denoising step, row, column; `seeds` int64
    [num_atoms] is that of the image's noise. While a dictionary grows, `prompts` is empty and the first column is the
    number of the image in the run; `located` turns it into prompts and seeds.
    """

    prompts: tuple[str, ...]
    place: torch.Tensor
    seeds: torch.Tensor

    def located(self, images: Mapping[int, tuple[str, int]]) -> AtomSources:
        """The same with the prompt and seed of each image, by its number in the run."""
        found = [images[number] for number in self.place[:, 0].tolist()]
        prompts = {prompt: None for prompt, _ in found}
        number = {prompt: i for i, prompt in enumerate(prompts)}
        place = self.place.clone()
        place[:, 0] = torch.tensor([number[prompt] for prompt, _ in found], dtype=torch.int64)
        return AtomSources(tuple(prompts), place, torch.tensor([seed for _, seed in found], dtype=torch.int64))

    def of(self, atom: int) -> tuple[str, int, int, int, int]:
        """(prompt, seed, step, row, col) of an atom."""
        prompt, step, row, col = self.place[atom].tolist()
        return self.prompts[prompt], int(self.seeds[atom]), step, row, col

    def all(self) -> list[tuple[str, int, int, int, int]]:
        """The sources of all atoms, in their order."""
        return [self.of(atom) for atom in range(len(self.place))]


class ITDA:
    """Unit atoms [num_atoms, d_in] in normalised space, with the normalisation that leads there.

    With the encoder `matching`, whose coefficients have a sign, an atom is two latents: `i` for its positive side and
    `num_atoms + i` for its negative, so that activations stay non-negative; otherwise a latent is an atom.
    """

    kind = "itda"

    def __init__(
        self,
        atoms: torch.Tensor,
        normalization: Normalization,
        k: int,
        encoder: Encoder = "exact",
        sources: AtomSources | None = None,
    ) -> None:
        self.atoms, self.normalization, self.k = atoms, normalization, k
        self.encoder: Encoder = encoder
        self.sources = sources
        self.d_in = atoms.shape[1]
        self._gram: torch.Tensor | None = None
        self.num_latents = len(atoms) * (2 if encoder == "matching" else 1)

    @property
    def _sides(self) -> torch.Tensor:
        """One row a latent, in normalised space."""
        return torch.cat([self.atoms, -self.atoms]) if self.encoder == "matching" else self.atoms

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's direction in raw space, float32 [num_latents, d_in]."""
        back = self.normalization.back
        return self._sides * back if back.dim() == 1 else self._sides @ back

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations [n, d_in] by pursuit."""
        return self.encode_normal(self.normalization.apply(acts))

    def encode_normal(self, normal: torch.Tensor) -> SparseCode:
        """Encode activations [n, d_in] that are normalised already."""
        if self._gram is None and len(self.atoms) ** 2 * self.atoms.element_size() <= GRAM_BYTES:
            self._gram = self.atoms @ self.atoms.T
        if self.encoder == "matching":
            return matching_pursuit(normal, self.atoms, self.k, gram=self._gram)
        return gradient_pursuit(normal, self.atoms, self.k, mode=self.encoder, gram=self._gram)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return self.normalization.undo(decode_sparse(code, self._sides))

    def to(self, device: str) -> ITDA:
        """Move the atoms; their sources stay where they are."""
        self.atoms, self.normalization = self.atoms.to(device), self.normalization.to(device)
        self._gram = None
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What is stored; the prompts of the sources are in the configuration."""
        config: dict[str, Any] = {
            "kind": self.kind,
            "d_in": self.d_in,
            "num_latents": self.num_latents,
            "k": self.k,
            "encoder": self.encoder,
        }
        tensors = {"atoms": self.atoms, **self.normalization.state_dict()}
        if self.sources is not None:
            config["prompts"] = list(self.sources.prompts)
            tensors |= {"source_place": self.sources.place, "source_seed": self.sources.seeds}
        return config, {name: t.detach().cpu().contiguous() for name, t in tensors.items()}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> ITDA:
        """The inverse of `state`."""
        prompts: Sequence[str] | None = config.get("prompts")
        sources = (
            None if prompts is None else AtomSources(tuple(prompts), tensors["source_place"], tensors["source_seed"])
        )
        normal = Normalization(*(tensors[name].float() for name in ("mean", "into", "back")))
        return cls(tensors["atoms"].float(), normal, int(config["k"]), config["encoder"], sources)
