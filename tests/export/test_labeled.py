"""A dictionary with its labels is a dictionary."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.sae import StepModulation, TopK
from autointerp.dictionaries.storage import load_dictionary, save_dictionary
from autointerp.errors import AutointerpError, UsageError
from autointerp.export.bundle import write_bundle
from autointerp.export.labeled import LabeledDictionary

from .examples import PROVENANCE, contents


def test_labeled_dictionary(tmp_path: Path, dictionary_dir: Path) -> None:
    out = write_bundle(tmp_path / "out", contents(dictionary_dir))
    labeled, plain = LabeledDictionary.load(out), load_dictionary(dictionary_dir)
    acts = torch.randn(10, 4)
    code = labeled.encode(acts)
    assert torch.equal(code.latent_acts, plain.encode(acts).latent_acts)
    assert torch.equal(labeled.decode(code), plain.decode(code))
    assert labeled.label(1).name == "red circle"
    assert labeled.label(5).status == "unlabeled"
    assert [r.index for r in labeled.find("CIRCLE red")] == [1]
    assert labeled.find("whale") == []
    assert [r.index for r in labeled.find("fires on red")] == [1]
    # Whole words: "red" is no part of "checkered".
    assert labeled.find("ire") == []
    assert labeled.find("re") == []
    assert labeled.find("red, circle!")
    with pytest.raises(UsageError, match="n is 0"):
        labeled.find("red", n=0)
    with pytest.raises(UsageError, match=r"activations \[2, 3\] do not fit: give \[n, "):
        labeled.encode(torch.zeros(2, 3))
    with pytest.raises(AutointerpError, match="hf:owner/name"):
        LabeledDictionary.load("owner/name")
    for index in (-1, labeled.num_latents):
        with pytest.raises(UsageError, match="no feature"):
            labeled.label(index)
    with pytest.raises(UsageError, match="empty"):
        labeled.find("  ")


def test_a_labeled_dictionary_has_all_that_a_dictionary_has(tmp_path: Path, dictionary_dir: Path) -> None:
    labeled: Dictionary = LabeledDictionary.load(write_bundle(tmp_path / "out", contents(dictionary_dir)))
    plain = load_dictionary(dictionary_dir)
    assert isinstance(labeled, Dictionary)
    assert (labeled.kind, labeled.d_in, labeled.num_latents, labeled.k) == ("random", 4, 6, 2)
    assert torch.equal(labeled.directions, plain.directions)
    assert labeled.to("cpu") is labeled
    config, tensors = labeled.state()
    assert config == plain.state()[0]
    assert tensors.keys() == plain.state()[1].keys()
    again = save_dictionary(labeled, tmp_path / "again", PROVENANCE)
    assert again == save_dictionary(plain, tmp_path / "plain again", PROVENANCE)


def test_a_dictionary_that_depends_on_the_step_is_encoded_at_its_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    modulation = StepModulation((1, 3), torch.tensor([[1.0] * 4, [3.0] * 4]), torch.zeros(2, 4))
    plain = TopK(directions.T.contiguous(), torch.zeros(6), directions, torch.zeros(4), 2)
    plain.modulation = modulation
    save_dictionary(plain, tmp_path / "dictionary", PROVENANCE)
    labeled = LabeledDictionary.load(write_bundle(tmp_path / "out", contents(tmp_path / "dictionary")))
    acts = torch.randn(10, 4)
    first, later = labeled.encode(acts, 1), labeled.encode(acts, 3)
    assert torch.equal(first.latent_acts, plain.encode(acts, 1).latent_acts)
    assert torch.allclose(later.latent_acts, 3 * first.latent_acts)
    mixed = labeled.encode(acts, torch.tensor([1, 3] * 5))
    assert torch.equal(mixed.latent_acts[::2], first.latent_acts[::2])
    assert torch.equal(mixed.latent_acts[1::2], later.latent_acts[1::2])
    with pytest.raises(UsageError, match="depends on the denoising step"):
        labeled.encode(acts)
