"""Encoding and decoding against dense arithmetic, for every kind of dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from autointerp.dictionaries.kinds import KINDS
from autointerp.dictionaries.protocol import Dictionary, SparseCode
from autointerp.dictionaries.pursuit import gradient_pursuit
from autointerp.dictionaries.storage import load_dictionary, save_dictionary
from tests.dictionaries.made import check_code, dense, latents_of, make, naive


@pytest.mark.parametrize("kind", sorted(KINDS))
class TestContract:
    """What holds for every kind: a new one is a class and a row of KINDS, and must pass here."""

    def test_is_a_dictionary(self, kind: str) -> None:
        dictionary = make(kind)
        latents = latents_of(kind)
        assert isinstance(dictionary, Dictionary)
        assert dictionary.kind == kind
        assert isinstance(dictionary, KINDS[kind].load())  # type: ignore[arg-type]
        assert (dictionary.d_in, dictionary.num_latents, dictionary.k) == (6, latents, 4)
        assert dictionary.directions.shape == (latents, 6)
        assert dictionary.to("cpu") is dictionary

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
    @pytest.mark.parametrize("n", [0, 1, 50])
    def test_codes(self, kind: str, n: int, dtype: torch.dtype) -> None:
        dictionary = make(kind)
        acts = torch.randn(n, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
        code = dictionary.encode(acts)
        varies = kind in ("jumprelu", "batchtopk", "relu", "gated", "matching-pursuit")
        check_code(code, n, code.latent_acts.shape[1] if varies else 4, latents_of(kind))
        if varies and n:
            assert (code.latent_acts > 0).sum(1).max() == code.latent_acts.shape[1]
        rebuilt = dictionary.decode(code)
        assert rebuilt.shape == (n, 6)
        assert rebuilt.dtype == torch.float32
        nothing = SparseCode(torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.int64))
        expected = dense(code, latents_of(kind)) @ dictionary.directions.double() + dictionary.decode(nothing).double()
        assert torch.allclose(rebuilt.double(), expected, atol=1e-4)

    def test_encode_is_the_naive_encoder(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
        code = dense(dictionary.encode(acts), latents_of(kind))
        if kind == "itda":
            pursued = gradient_pursuit(dictionary.normalization.apply(acts), dictionary.atoms, 4, mode="exact")
            assert torch.equal(code, dense(pursued, 20))
        else:
            assert torch.allclose(code, naive(dictionary, acts), atol=1e-4)

    def test_a_cell_is_encoded_alone_as_in_a_batch(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(9, 6, generator=torch.Generator().manual_seed(3))
        together = dictionary.encode(acts)
        for n in range(9):
            alone = dictionary.encode(acts[n : n + 1])
            assert torch.allclose(dense(alone, 20), dense(together, 20)[n : n + 1], atol=1e-5)

    def test_stored_and_loaded_it_is_the_same(self, kind: str, tmp_path: Path) -> None:
        dictionary = make(kind)
        digest = save_dictionary(dictionary, tmp_path, {"layer": "mid"})
        again = load_dictionary(tmp_path)
        assert type(again) is type(dictionary)
        assert len(digest) == 64
        acts = torch.randn(8, 6, generator=torch.Generator().manual_seed(4))
        one, two = dictionary.encode(acts), again.encode(acts)
        assert torch.equal(one.latent_acts, two.latent_acts)
        assert torch.equal(one.latent_indices, two.latent_indices)
        assert torch.equal(dictionary.decode(one), again.decode(two))
        assert save_dictionary(again, tmp_path / "copy", {}) == digest
        if kind == "itda":
            assert cast(Any, again).sources.all() == make(kind).sources.all()

    def test_the_step_matters_to_none_that_does_not_say_so(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(5, 6, generator=torch.Generator().manual_seed(6))
        assert torch.equal(dictionary.encode(acts, 3).latent_acts, dictionary.encode(acts).latent_acts)
