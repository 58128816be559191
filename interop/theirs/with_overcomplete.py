"""overcomplete: its own models, saved by `state_dict`. The packages' `__init__` want vision models."""

from __future__ import annotations

from pathlib import Path

import torch
from exchange import D, K, N, bare, main, randomize, state

bare("overcomplete")
bare("overcomplete.sae")
from overcomplete.sae.jump_sae import JumpSAE
from overcomplete.sae.rasae import RATopKSAE
from overcomplete.sae.topk_sae import TopKSAE


def write(folder: Path) -> None:
    """A linear encoder, one with batch normalisation, thresholds, and archetypes; codes of evaluation mode."""
    points = torch.randn(40, D, generator=torch.Generator().manual_seed(3))
    for case, sae in {
        "topk": TopKSAE(D, N, top_k=K),
        "topk-batchnorm": TopKSAE(D, N, top_k=K, encoder_module="mlp_bn_1"),
        "jump": JumpSAE(D, N),
        "archetypes": RATopKSAE(D, N, points, top_k=K),
    }.items():
        randomize(sae, 1)
        if case == "topk-batchnorm":
            with torch.no_grad():
                sae.encoder(torch.randn(500, D, generator=torch.Generator().manual_seed(4)))
        (folder / case).mkdir()
        torch.save(sae.state_dict(), folder / case / "model.pt")
        sae.eval()
        state(folder, case, lambda x, sae=sae: sae.encode(x)[1], sae.decode)


main(write)
