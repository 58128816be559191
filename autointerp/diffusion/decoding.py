"""The autoencoder's `decode`, replaced for the time of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.diffusion.model import Model

Decode = Callable[..., Any]
"""Takes latents and options, and returns pictures in one of diffusers' forms."""


@contextmanager
def wrapped_decoding(model: Model, wrap: Callable[[Any, Decode], Decode]) -> Iterator[None]:
    """Replace `decode` of a pipeline's autoencoder inside the block, and put it back; a pipeline without one stays.

    Args:
        model: The model.
        wrap: Returns the replacement, given the autoencoder and its `decode`.
    """
    vae: Any = getattr(model.pipeline, "vae", None)
    if not hasattr(vae, "decode"):
        yield
        return
    own = vars(vae).get("decode")
    vae.decode = wrap(vae, vae.decode)
    try:
        yield
    finally:
        if own is None:
            del vae.decode
        else:
            vae.decode = own
