"""What is written for other tools comes back as it was, and what they cannot express is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autointerp.dictionaries.baselines import PCA, Neurons, RandomDirections
from autointerp.dictionaries.formats.detect import WRITTEN, read_format, write_format
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.itda import ITDA
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.sae import BatchTopK, Gated, JumpReLU, ReLU, StepModulation, TopK
from autointerp.errors import AutointerpError

D, N, K = 6, 20, 4
PROVENANCE = {"model": "m", "hookpoint": "transformer.transformer_blocks.1", "signal": "update", "steps": [0, 2]}


def made() -> dict[str, Any]:
    torch.manual_seed(0)
    four = (torch.randn(D, N), torch.randn(N) * 0.3, torch.randn(N, D), torch.randn(D))
    normal = Normalization.scaled(torch.randn(D), torch.rand(D) + 0.5)
    return {
        "topk": TopK(*four, K),
        "batchtopk": BatchTopK(*four, K, torch.tensor(0.7)),
        "jumprelu": JumpReLU(*four, None, torch.rand(N)),
        "relu": ReLU(*four, None),
        "gated": Gated(*four, None, r_mag=torch.randn(N) * 0.2, b_mag=torch.randn(N)),
        "random": RandomDirections.draw(normal, N, K, 1),
        "pca": PCA.measure(torch.randn(50, D), 2 * D, K),
        "itda": ITDA(torch.nn.functional.normalize(torch.randn(N, D), dim=1), normal, K),
        "neurons": Neurons(torch.zeros(D), torch.ones(D), 2),
    }


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("kind", made())
def test_round_trip(tmp_path: Path, form: str, kind: str) -> None:
    dictionary = made()[kind]
    if kind not in WRITTEN[form]:
        with pytest.raises(AutointerpError, match=f"of kind {kind}, which {form} cannot express") as caught:
            write_format(dictionary, form, tmp_path, PROVENANCE)
        able = [name for name, kinds in WRITTEN.items() if kind in kinds]
        assert all(name in caught.value.hint for name in [*able, "bundle"])
        assert list(tmp_path.iterdir()) == []
        return
    write_format(dictionary, form, tmp_path, PROVENANCE)
    name, back = read_format(Source(tmp_path))
    assert name == form
    assert back.dictionary.kind in (kind, "topk")
    assert back.dictionary.k == dictionary.k or kind in ("jumprelu", "relu", "gated")
    assert (back.hookpoint, back.signal, back.model) == (PROVENANCE["hookpoint"], "update", "m")
    assert back.provenance["steps"] == [0, 2]
    assert back.provenance["kind"] == kind
    x = torch.randn(64, D)
    code, again = dictionary.encode(x), back.dictionary.encode(x)
    dense, second = (torch.zeros(64, dictionary.num_latents).scatter_add_(1, c[1], c[0]) for c in (code, again))
    torch.testing.assert_close(second, dense, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(back.dictionary.decode(again), dictionary.decode(code), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", WRITTEN)
def test_a_dictionary_of_steps_is_refused(tmp_path: Path, form: str) -> None:
    sae = made()["topk"]
    sae.modulation = StepModulation((0,), torch.ones(1, D), torch.zeros(1, D))
    with pytest.raises(AutointerpError, match="depends on the denoising step.*bundle"):
        write_format(sae, form, tmp_path, PROVENANCE)


def test_saelens_files(tmp_path: Path) -> None:
    write_format(made()["batchtopk"], "saelens", tmp_path, PROVENANCE)
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert int(config["metadata"]["sae_lens_version"].split(".")[0]) >= 6
    assert config["architecture"] == "jumprelu"
    assert config["metadata"]["hook_name"] == PROVENANCE["hookpoint"]
    threshold = load_file(tmp_path / "sae_weights.safetensors")["threshold"]
    assert torch.equal(threshold, torch.full((N,), 0.7))


def test_sparsify_files(tmp_path: Path) -> None:
    write_format(made()["topk"], "sparsify", tmp_path, PROVENANCE)
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert (config["num_latents"], config["k"], config["d_in"]) == (N, K, D)
    assert {t.dtype for t in load_file(tmp_path / "sae.safetensors").values()} == {torch.float32}


def test_dictionary_learning_files(tmp_path: Path) -> None:
    for kind, name in (("topk", "AutoEncoderTopK"), ("batchtopk", "BatchTopKSAE"), ("relu", "AutoEncoderNew")):
        write_format(made()[kind], "dictionary-learning", tmp_path, PROVENANCE)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["trainer"]["dict_class"] == name
        assert config["trainer"]["lm_name"] == "m"
        assert "encoder.weight" in torch.load(tmp_path / "ae.pt", weights_only=True)
