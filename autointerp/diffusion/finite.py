"""Values that are not finite stop a run, before anything is stored.

Half precision overflows in some models: an autoencoder then gives black pictures, and an edit that is too strong gives
noise. Whether values are finite is judged on the device, and read once a run: a read waits for all pending work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.decoding import Decode, wrapped_decoding
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.model import Model

OTHER_DTYPE = "use --dtype bfloat16 or float32"


class NotFiniteError(AutointerpError):
    """A model gave values that are not finite."""


class FiniteFlags:
    """Flags of tensors, by name: whether all that was seen under a name was finite."""

    def __init__(self) -> None:
        self._flags: dict[str, torch.Tensor] = {}

    def see(self, name: str, values: torch.Tensor) -> None:
        """Take in a tensor, without waiting for it."""
        fine = torch.isfinite(values).all()
        self._flags[name] = self._flags[name] & fine if name in self._flags else fine

    @property
    def unread(self) -> torch.Tensor:
        """The flags, bool [n], for `not_finite`."""
        return torch.stack(list(self._flags.values())) if self._flags else torch.zeros(0, dtype=torch.bool)

    def not_finite(self, fine: torch.Tensor | None = None) -> list[str]:
        """Return the names under which some value was not finite; one read of the device.

        Args:
            fine: What `unread` gave, where it was read together with other tensors.
        """
        values = (self.unread if fine is None else fine).tolist()
        return [name for name, is_fine in zip(self._flags, values, strict=True) if not is_fine]


@contextmanager
def checked_pictures(model: Model) -> Iterator[None]:
    """Check the latents that are decoded inside, and the pictures that the autoencoder makes of them.

    Raises:
        NotFiniteError: Some of them are not finite; raised at the end.
    """
    flags = FiniteFlags()

    def checking(_vae: Any, decode: Decode) -> Decode:
        def checked(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            flags.see("latents", latents)
            decoded = decode(latents, *args, **kwargs)
            pictures = getattr(decoded, "sample", decoded[0] if isinstance(decoded, tuple) else decoded)
            if isinstance(pictures, torch.Tensor):
                flags.see("pictures", pictures)
            return decoded

        return checked

    with wrapped_decoding(model, checking):
        yield
    if found := flags.not_finite():
        raise _latents(model) if "latents" in found else _autoencoder(model, "made pictures")


def check_encoded(model: Model, latents: torch.Tensor) -> None:
    """Check the latents of real pictures; one read of the device.

    Raises:
        NotFiniteError: Some of them are not finite.
    """
    if not bool(torch.isfinite(latents).all()):
        raise _autoencoder(model, "encoded real pictures to latents")


def _latents(model: Model) -> NotFiniteError:
    """Return the error for a generation that ended in latents that are not finite."""
    return NotFiniteError(f"{model.name} ended in latents that are not finite", OTHER_DTYPE)


def _autoencoder(model: Model, did: str) -> NotFiniteError:
    """Return the error for an autoencoder, which says whether its own weights are at fault."""
    weights = list(model.pipeline.vae.parameters())
    bad = sum(not bool(torch.isfinite(weight).all()) for weight in weights if not weight.is_meta)
    why = f": so are {bad} of its {len(weights)} weights" if bad else ""
    return NotFiniteError(
        f"the autoencoder of {model.name} {did} that are not finite{why}",
        f"{OTHER_DTYPE}, or a model with another autoencoder",
    )
