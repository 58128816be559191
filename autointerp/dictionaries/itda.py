"""ITDA: a dictionary whose atoms are real activations, so that each atom has a picture of its own.

The method is that of Leask et al., "Inference-Time Decomposition of Activations" (arXiv 2505.17769), in the form that
arXiv 2505.24360 uses on diffusion models. Activations that the dictionary so far explains badly become atoms. An
activation is decomposed by non-negative gradient pursuit, in growth and in use alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch

from autointerp.dictionaries.atoms import AtomSources
from autointerp.dictionaries.correlations import wide_gram
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.pursuit import Encoder, check_atoms, pursue
from autointerp.dictionaries.sparse import decode_sparse

ENCODERS: tuple[str, ...] = get_args(Encoder)


class ITDA:
    """Unit atoms [num_atoms, d_in] in normalised space, with the normalisation that leads there.

    A latent is an atom, unless the encoder is `matching`. The coefficients of that encoder have a sign, so an atom is
    two latents: `i` for its positive side and `num_atoms + i` for its negative. So activations stay non-negative.
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
        self._checked = False
        self.num_latents = len(atoms) * (2 if encoder == "matching" else 1)

    @property
    def _sides(self) -> torch.Tensor:
        """The direction of each latent in normalised space, [num_latents, d_in]."""
        return torch.cat([self.atoms, -self.atoms]) if self.encoder == "matching" else self.atoms

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's direction in raw space, float32 [num_latents, d_in]."""
        back = self.normalization.back
        return self._sides * back if back.dim() == 1 else self._sides @ back

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations [n, d_in] by pursuit; the step does not matter."""
        del step
        return self.encode_normal(self.normalization.apply(acts))

    def encode_normal(self, normal: torch.Tensor) -> SparseCode:
        """Encode activations [n, d_in] that are normalised already; a row that is not finite has a code of NaN.

        Raises:
            ValueError: An atom's norm is not within 1% of 1.
        """
        if not self._checked:
            check_atoms(self.atoms)
            self._gram, self._checked = wide_gram(self.atoms), True
        return pursue(normal, self.atoms, self.k, self.encoder, self._gram)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return self.normalization.undo(decode_sparse(code, self._sides))

    def to(self, device: str) -> ITDA:
        """Move the atoms to a device, and return the dictionary itself; sources stay on the processor."""
        self.atoms, self.normalization = self.atoms.to(device), self.normalization.to(device)
        self._gram, self._checked = None, False
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return configuration and tensors, as they are stored; the prompts of the sources are in the configuration."""
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
        """Make a dictionary of what `state` returned."""
        prompts: Sequence[str] | None = config.get("prompts")
        sources = (
            None if prompts is None else AtomSources(tuple(prompts), tensors["source_place"], tensors["source_seed"])
        )
        normal = Normalization(*(tensors[name].float() for name in ("mean", "into", "back")))
        return cls(tensors["atoms"].float(), normal, int(config["k"]), config["encoder"], sources)
