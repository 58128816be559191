"""Transcoders beyond the contract of `test_protocol.py`: pairs, other activations, and a skip connection."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autointerp.dictionaries.storage import load_dictionary, save_dictionary
from autointerp.dictionaries.transcoders import Transcoder
from tests.dictionaries.made import dense, make


def test_a_pair_is_encoded_by_its_input_alone() -> None:
    made = make("transcoder")
    inputs = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    alone = made.encode(inputs)
    for output in (torch.zeros(9, 6), torch.full((9, 6), 7.0)):
        code = made.encode(torch.cat([inputs, output], 1))
        assert torch.equal(code.latent_acts, alone.latent_acts)
        assert torch.equal(code.latent_indices, alone.latent_indices)


@pytest.mark.parametrize("activation", ["relu", "jumprelu"])
def test_other_activations_and_a_skip_connection(activation: str, tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(2)
    four = [torch.randn(*shape, generator=draw) for shape in ((6, 20), (20,), (20, 6), (6,))]
    threshold = torch.rand(20, generator=draw) if activation == "jumprelu" else None
    skip = torch.randn(6, 6, generator=draw)
    made = Transcoder(*four, None, activation, threshold)  # type: ignore[arg-type, call-arg]
    made.W_skip = skip
    x = torch.randn(30, 6, generator=draw)
    pre = x @ four[0] + four[1]
    expected = pre.relu() if threshold is None else pre * (pre > threshold)
    code = made.encode(x)
    assert torch.allclose(dense(code, 20).float(), expected, atol=1e-5)
    whole = expected @ four[2] + four[3] + x @ skip.T
    assert torch.allclose(made.transcode(x, code), whole, atol=1e-4)
    assert torch.allclose(made.decode(code), whole - x @ skip.T, atol=1e-4)
    save_dictionary(made, tmp_path, {})
    again = load_dictionary(tmp_path)
    assert isinstance(again, Transcoder)
    assert torch.equal(again.transcode(x, again.encode(x)), made.transcode(x, code))


def test_a_threshold_belongs_to_jumprelu() -> None:
    four = [torch.zeros(*shape) for shape in ((6, 20), (20,), (20, 6), (6,))]
    for activation, threshold in (("jumprelu", None), ("topk", torch.zeros(20)), ("nope", None)):
        with pytest.raises(ValueError, match="no transcoder"):
            Transcoder(*four, 4, activation, threshold)  # type: ignore[arg-type, call-arg]
