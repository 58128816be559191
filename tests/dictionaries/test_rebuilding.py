"""What is rebuilt: its own input, or the output of a pair."""

from __future__ import annotations

import pytest
import torch

from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.rebuilding import aimed_at, rebuilt
from tests.dictionaries.made import make


def test_a_transcoder_is_measured_by_outputs_and_others_by_inputs() -> None:
    pairs = torch.randn(200, 12, generator=torch.Generator().manual_seed(1))
    transcoder, sae = make("transcoder"), make("topk")
    code = transcoder.encode(pairs)
    assert torch.equal(aimed_at(transcoder, pairs), pairs[:, 6:])
    assert torch.equal(rebuilt(transcoder, pairs, code), transcoder.decode(code))
    assert aimed_at(sae, pairs) is pairs
    figures = Reconstruction(6, 20)
    figures.update(transcoder, pairs)
    outputs = pairs[:, 6:].double()
    missed = (outputs - transcoder.decode(code)).square().sum()
    assert figures.fvu == pytest.approx(float(missed / (outputs - outputs.mean(0)).square().sum()))
