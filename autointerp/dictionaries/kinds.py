"""The registry of dictionary kinds: what is stored, what fits it, and which settings a fit depends on.

A new kind is a class in a module and a row here. The command line, the settings' text, the plan of a fit, the trainer
and the reader of stored dictionaries all read this registry. It imports no kind, so it stays light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from autointerp.registry import Kind, Registry

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary


class StoredKind(Protocol):
    """The class of a kind, as the reader of stored dictionaries uses it."""

    def from_state(self, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Dictionary:
        """Make a dictionary of what its `state` gave."""
        ...


def as_asked(latents: int, d_in: int) -> int:
    """Take as many latents as are asked for."""
    del d_in
    return latents


def as_wide(latents: int, d_in: int) -> int:
    """Take one latent for each dimension."""
    del latents
    return d_in


@dataclass(frozen=True)
class DictionaryKind(Kind[StoredKind]):
    """A kind of dictionary; `path` names its class.

    Attributes:
        trainer: Dotted path of what fits it, `(FitConfig, d_in, device) -> Trainer`; empty for a kind that is only
            imported.
        options: Keys of the settings' table [dictionary] that a fit depends on, beyond those of every kind.
        latents: How many latents there are, of those asked for and the layer's width.
        baseline: Whether nothing is learned, so that the kind shows what a figure is worth.
        of_hidden_units: Whether it reads the hidden units of the layer's MLP in place of the layer.
        transcodes: Whether it reads the input of the layer's MLP and rebuilds its output.
    """

    trainer: str = ""
    options: tuple[str, ...] = ()
    latents: Callable[[int, int], int] = as_asked
    baseline: bool = False
    of_hidden_units: bool = False
    transcodes: bool = False


_SAE = "autointerp.dictionaries.training:fit_sae"
_SAE_OPTIONS = ("normalize", "passes", "ema", "per_step")

KINDS: Registry[DictionaryKind] = Registry(
    "dictionary kind",
    [
        DictionaryKind(
            "topk", "SAE whose k largest latents fire", "autointerp.dictionaries.sae:TopK", _SAE, _SAE_OPTIONS
        ),
        DictionaryKind(
            "batchtopk",
            "SAE whose k largest latents fire, on average over a batch",
            "autointerp.dictionaries.sae:BatchTopK",
            _SAE,
            _SAE_OPTIONS,
        ),
        DictionaryKind(
            "jumprelu",
            "SAE with a learned threshold for each latent",
            "autointerp.dictionaries.sae:JumpReLU",
            _SAE,
            _SAE_OPTIONS,
        ),
        DictionaryKind(
            "itda",
            "real activations as atoms, decoded by gradient pursuit",
            "autointerp.dictionaries.itda:ITDA",
            "autointerp.dictionaries.growth:fit_itda",
            ("normalize", "threshold", "prune", "pursuit"),
        ),
        DictionaryKind(
            "transcoder",
            "k largest latents of an MLP's input rebuild its output",
            "autointerp.dictionaries.transcoders:Transcoder",
            "autointerp.dictionaries.transcoding:fit_transcoder",
            _SAE_OPTIONS,
            transcodes=True,
        ),
        DictionaryKind(
            "neurons",
            "hidden units of the layer's MLP as they are",
            "autointerp.dictionaries.baselines:Neurons",
            "autointerp.dictionaries.baselines:fit_neurons",
            latents=as_wide,
            baseline=True,
            of_hidden_units=True,
        ),
        DictionaryKind(
            "pca",
            "principal components, each with two sides",
            "autointerp.dictionaries.baselines:PCA",
            "autointerp.dictionaries.baselines:fit_pca",
            latents=lambda latents, d_in: min(latents, 2 * d_in),
            baseline=True,
        ),
        DictionaryKind(
            "random",
            "random unit directions",
            "autointerp.dictionaries.baselines:RandomDirections",
            "autointerp.dictionaries.baselines:fit_random",
            ("normalize",),
            baseline=True,
        ),
        DictionaryKind("relu", "SAE with a ReLU, of other tools", "autointerp.dictionaries.sae:ReLU"),
        DictionaryKind("gated", "gated SAE, of other tools", "autointerp.dictionaries.sae:Gated"),
        DictionaryKind(
            "matching-pursuit",
            "latents chosen one by one from what is left, of other tools",
            "autointerp.dictionaries.matching:MatchingPursuit",
        ),
    ],
)
"""Every kind that can be stored."""
FITTED = KINDS.where(lambda kind: bool(kind.trainer))
"""The kinds that can be fitted here."""
