from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autointerp.dictionaries import sae
from autointerp.dictionaries.sae import StepModulation
from autointerp.dictionaries.storage import load_dictionary, save_dictionary
from tests.dictionaries.made import make
from tests.waits import waits


def test_a_modulation_is_stored_and_comes_before_encoding(tmp_path: Path) -> None:
    plain = make("jumprelu")
    scale, shift = torch.rand(2, 6) + 0.5, torch.randn(2, 6)
    told = make("jumprelu")
    told.modulation = StepModulation((3, 7), scale, shift)
    save_dictionary(told, tmp_path, {})
    again = load_dictionary(tmp_path)
    acts = torch.randn(5, 6)
    for row, step in enumerate((3, 7)):
        expected = plain.encode(acts * scale[row] + shift[row])
        assert torch.allclose(again.encode(acts, step).latent_acts, expected.latent_acts)


@pytest.mark.parametrize("kind", ["topk", "jumprelu", "batchtopk", "relu", "gated"])
def test_rows_are_encoded_some_at_a_time(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = make(kind)
    acts = torch.randn(50, 6, generator=torch.Generator().manual_seed(3))
    held: list[int] = []
    whole = dictionary.encode(acts)
    monkeypatch.setattr(sae, "ROWS", 16)
    computed = dictionary.pre_acts

    def pre_acts(x: torch.Tensor, step: None) -> torch.Tensor:
        held.append(len(x))
        found: torch.Tensor = computed(x, step)
        return found

    monkeypatch.setattr(dictionary, "pre_acts", pre_acts)
    parts = dictionary.encode(acts)
    assert held == [16, 16, 16, 2]
    assert torch.equal(whole.latent_indices, parts.latent_indices)
    assert torch.allclose(whole.latent_acts, parts.latent_acts)
    assert dictionary.encode(acts[:0]).latent_acts.shape[0] == 0


def test_a_modulation_by_rows_is_cut_as_the_rows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told = make("topk")
    told.modulation = StepModulation((3, 7), torch.rand(2, 6) + 0.5, torch.randn(2, 6))
    acts, step = torch.randn(20, 6), torch.arange(20) % 2 * 4 + 3
    whole = told.encode(acts, step)
    monkeypatch.setattr(sae, "ROWS", 7)
    assert torch.allclose(whole.latent_acts, told.encode(acts, step).latent_acts)


@pytest.mark.parametrize("kind", ["jumprelu", "batchtopk", "relu", "gated"])
def test_a_code_of_a_given_width_asks_nothing_and_says_what_it_would_need(kind: str) -> None:
    dictionary = make(kind)
    acts = torch.randn(50, 6, generator=torch.Generator().manual_seed(3))
    whole = dictionary.encode(acts)
    needed = whole.latent_acts.shape[1]
    with waits() as found:
        wide, fullest = dictionary.encode_within(acts)
    assert not found
    assert int(fullest) == needed
    assert torch.equal(wide.latent_acts[:, :needed], whole.latent_acts)
    assert torch.equal(wide.latent_indices[:, :needed], whole.latent_indices)
    assert not wide.latent_acts[:, needed:].any()
    dictionary.width = needed - 1
    narrow, fullest = dictionary.encode_within(acts)
    assert int(fullest) == needed
    assert torch.equal(narrow.latent_acts, whole.latent_acts[:, :-1])
