"""Orbax checkpoints: their arrays as the reader gives them, and what is said where it is not installed."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.dictionaries.formats.detect import read_format
from autointerp.dictionaries.formats.orbax import as_tensors, is_orbax
from autointerp.dictionaries.formats.source import Source
from autointerp.errors import AutointerpError

D, N, K = 6, 20, 4


def arrays() -> dict[str, Any]:
    """What the reader gives of a checkpoint of nev/flux1-saes."""
    rng = np.random.default_rng(0)

    def of(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    mean = of(D)
    return {
        "sae_params": {"W_enc": of(D, N), "W_dec": of(N, D), "b_pre": of(D), "b_post": of(D), "b_mid": of(N)},
        "info": {
            "feature_means": mean,
            "feature_square_means": mean**2 + rng.uniform(0.5, 2, D).astype(np.float32) ** 2,
            "whitening_matrix": of(D, D),
            "avg_norm": np.float32(3.0),
            "n_steps": 30000,
        },
    }


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "sae_double_l18_img" / "30000" / "default"
    folder.mkdir(parents=True)
    (folder / "_METADATA").write_text("{}")
    (folder / "manifest.ocdbt").write_bytes(b"\x00")
    return folder


class Reader:
    """The public reader, as far as it is asked; like it, it wants the devices of the checkpoint for any other array."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree

    def metadata(self, _path: Path) -> Any:
        return types.SimpleNamespace(item_metadata=types.SimpleNamespace(tree=self.tree))

    def restore(self, _path: Path, restore_args: dict[str, Any]) -> dict[str, Any]:
        for part, group in self.tree.items():
            for name in group:
                if restore_args[part][name].restore_type is not np.ndarray:
                    raise ValueError("sharding passed to deserialization should be specified")
        return self.tree


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arrays that the reader finds in a checkpoint."""
    tree = arrays()
    module = types.ModuleType("orbax.checkpoint")
    module.PyTreeCheckpointer = lambda: Reader(tree)  # type: ignore[attr-defined]
    module.RestoreArgs = types.SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "orbax", types.ModuleType("orbax"))
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", module)
    return tree


def test_a_checkpoint_computes_what_is_documented(checkpoint: Path, reader: dict[str, Any]) -> None:
    name, imported = read_format(Source(checkpoint), k=K)
    assert (name, imported.hookpoint, imported.signal) == (
        "flux1-saes",
        "transformer.transformer_blocks.18",
        "output",
    )
    assert imported.provenance == {"stream": "image"}
    assert any("clipped" in note for note in imported.notes)
    params, info = (as_tensors(reader[part]) for part in ("sae_params", "info"))
    mean, W = info["feature_means"], info["whitening_matrix"]
    std = (info["feature_square_means"] - mean**2).sqrt()
    x = torch.randn(50, D, generator=torch.Generator().manual_seed(1))
    normal = (x @ W - mean) / std
    pre = (normal - params["b_post"] + params["b_pre"]) @ params["W_enc"]
    best = pre.topk(K, dim=1)
    expected = torch.zeros_like(pre).scatter(1, best.indices, best.values.relu())
    code = imported.dictionary.encode(x)
    found = torch.zeros(50, N).scatter_add(1, code.latent_indices, code.latent_acts)
    assert torch.allclose(found, expected, atol=1e-3, rtol=1e-3)
    rebuilt = ((expected @ params["W_dec"] + params["b_post"]) * std + mean) @ torch.linalg.inv(W)
    assert torch.allclose(imported.dictionary.decode(code), rebuilt, atol=1e-2, rtol=1e-2)


def test_the_files_of_a_checkpoint_are_its_identity(checkpoint: Path, reader: dict[str, Any]) -> None:
    source = Source(checkpoint)
    read_format(source, k=K)
    first = source.hashes()
    assert list(first) == ["default"]
    (checkpoint / "manifest.ocdbt").write_bytes(b"\x01")
    assert source.hashes() != first


def test_a_matrix_without_an_inverse_is_refused(checkpoint: Path, reader: dict[str, Any]) -> None:
    reader["info"]["whitening_matrix"] = np.zeros((D, D), np.float32)
    with pytest.raises(AutointerpError, match="cannot be inverted"):
        read_format(Source(checkpoint))
    del reader["info"]["feature_means"]
    with pytest.raises(AutointerpError, match="lacks the tensor feature_means"):
        read_format(Source(checkpoint))
    del reader["info"]
    with pytest.raises(AutointerpError, match="no info with feature_means"):
        read_format(Source(checkpoint))


def test_without_the_reader_the_extra_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(AutointerpError, match="whose reader is not installed") as caught:
        read_format(Source(checkpoint))
    assert "autointerp[orbax]" in str(caught.value)


def test_other_folders_are_no_checkpoints(tmp_path: Path) -> None:
    assert not is_orbax(tmp_path)
    (tmp_path / "checkpoint").touch()
    assert not is_orbax(tmp_path)
    assert not is_orbax(tmp_path / "nope")


def test_arrays_of_half_precision_become_float32() -> None:
    tree = as_tensors({"a": np.ones(2, np.float16), "b": [np.arange(3)], "c": 4, "d": None})
    assert tree["a"].dtype == torch.float32
    assert tree["b"][0].tolist() == [0, 1, 2]
    assert (tree["c"], tree["d"]) == (4, None)
