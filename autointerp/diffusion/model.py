"""A loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.description import ModelDescription
from autointerp.diffusion.families import Configs, Family, ModelDefaults
from autointerp.errors import UsageError, nearest

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Model:
    """A loaded pipeline.

    Attributes:
        description: The model's description, which needs no weights.
        pipeline: diffusers' pipeline.
        device: The device that it computes on.
        dtype: The dtype that it computes in. On a processor its weights are float32 nevertheless.
        notes: What was left out of its files, for the person at the keyboard.
    """

    description: ModelDescription
    pipeline: Any
    device: str
    dtype: torch.dtype
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.description.name

    @property
    def revision(self) -> str:
        """The revision of its weights."""
        return self.description.revision

    @property
    def family(self) -> Family:
        """The model's family."""
        return self.description.family

    @property
    def configs(self) -> Configs:
        """The configurations of its components."""
        return self.description.configs

    @property
    def defaults(self) -> ModelDefaults:
        """How it is run unless a setting says otherwise."""
        return self.description.defaults

    @property
    def aliases(self) -> Mapping[str, str]:
        """Layer name -> hookpoint."""
        return self.description.aliases

    @property
    def denoiser(self) -> torch.nn.Module:
        """The component that is called once a step and branch."""
        return getattr(self.pipeline, self.family.denoiser)

    def module(self, hookpoint: str) -> torch.nn.Module:
        """Return the module at a dotted path of the pipeline.

        Raises:
            UsageError: There is no such module; the hint holds the nearest names.
        """
        component, _, path = hookpoint.partition(".")
        try:
            return getattr(self.pipeline, component).get_submodule(path)
        except AttributeError:
            known = [f"{self.family.denoiser}.{name}" for name, _ in self.denoiser.named_modules() if name]
            raise UsageError(f"{self.name} has no hookpoint {hookpoint!r}", nearest(hookpoint, known)) from None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context that a generation runs in."""
        import torch

        if self.device == "cpu" and self.dtype != torch.float32:
            return torch.autocast("cpu", self.dtype)
        return nullcontext()

    def float32(self) -> AbstractContextManager[Any]:
        """Return the context in which consumers and changes of activations run during a generation.

        Autocast would compute a dictionary's codes in half precision, and gives some of its operations mixed dtypes,
        which they refuse.
        """
        import torch

        return torch.autocast("cpu", enabled=False) if self.device == "cpu" else nullcontext()
