"""A replaced `decode` is there inside the block alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autointerp.diffusion.decoding import wrapped_decoding


class Vae:
    def decode(self, latents: int) -> int:
        return latents + 1


def doubled(_vae: Any, decode: Any) -> Any:
    return lambda latents: 2 * decode(latents)


def test_decode_is_replaced_and_put_back_after_an_error_too() -> None:
    vae = Vae()
    model: Any = SimpleNamespace(pipeline=SimpleNamespace(vae=vae))

    def run() -> None:
        with wrapped_decoding(model, doubled):
            assert vae.decode(1) == 4
            with wrapped_decoding(model, doubled):
                assert vae.decode(1) == 8
            assert vae.decode(1) == 4
            raise KeyError

    with pytest.raises(KeyError):
        run()
    assert vae.decode(1) == 2
    assert "decode" not in vars(vae)


def test_a_pipeline_without_an_autoencoder_is_left_alone() -> None:
    for pipeline in (SimpleNamespace(), SimpleNamespace(vae=None)):
        model: Any = SimpleNamespace(pipeline=pipeline)
        with wrapped_decoding(model, doubled):
            assert getattr(pipeline, "vae", None) is None
