from __future__ import annotations

import torch

from autointerp.dictionaries.itda import ITDA
from tests.dictionaries.made import check_code, make


def test_signed_pursuit_has_two_latents_an_atom() -> None:
    base = make("itda")
    signed = ITDA(base.atoms, base.normalization, 4, "matching")
    assert signed.num_latents == 40
    assert torch.equal(signed.directions[20:], -signed.directions[:20])
    acts = torch.randn(30, 6, generator=torch.Generator().manual_seed(3))
    code = signed.encode(acts)
    check_code(code, 30, 4, 40)
    assert (code.latent_indices >= 20).any()
    one, two = (
        torch.linalg.norm(base.normalization.apply(d.decode(d.encode(acts))) - base.normalization.apply(acts))
        for d in (signed, base)
    )
    assert one < two
