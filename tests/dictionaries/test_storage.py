"""A dictionary's folder that is hurt, foreign or too new is refused with one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autointerp.dictionaries.sae import TopK
from autointerp.dictionaries.storage import load_dictionary, read_config, save_dictionary
from autointerp.errors import AutointerpError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dictionary = TopK(torch.randn(4, 9), torch.zeros(9), torch.randn(9, 4), torch.zeros(4), 2)
    save_dictionary(dictionary, tmp_path / "d", {"layer": "mid", "seed": 3})
    return tmp_path / "d"


def edit(folder: Path, **values: object) -> None:
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, **values}))


def flip(folder: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(data))


def cut(folder: Path) -> None:
    data = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(data[: len(data) // 2])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit": (flip, "not those cfg.json names"),
    "half a file": (cut, "cannot read the weights"),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), "cannot read the weights"),
    "no folder": (lambda f: f.rename(f.with_name("elsewhere")), "no dictionary in"),
    "no config": (lambda f: (f / "cfg.json").unlink(), "no dictionary in"),
    "a config that is no JSON": (lambda f: (f / "cfg.json").write_text("{"), "cannot read"),
    "a config that is a list": (lambda f: (f / "cfg.json").write_text("[1]"), "unknown kind"),
    "a binary config": (lambda f: (f / "cfg.json").write_bytes(b"\xff\xfe\x00"), "cannot read"),
    "an unknown kind": (lambda f: edit(f, kind="magic"), "unknown kind 'magic'"),
    "a newer format": (lambda f: edit(f, format=99), "newer autointerp"),
    "another hash": (lambda f: edit(f, weights_sha256="0" * 64), "not those cfg.json names"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_faults_are_one_line(folder: Path, fault: str) -> None:
    hurt, said = FAULTS[fault]
    hurt(folder)
    with pytest.raises(AutointerpError, match=said) as caught:
        load_dictionary(folder)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_the_folder_says_where_it_belongs(folder: Path) -> None:
    config = read_config(folder)
    assert config["provenance"] == {"layer": "mid", "seed": 3}
    assert (config["kind"], config["d_in"], config["num_latents"], config["k"]) == ("topk", 4, 9, 2)
    assert sorted(p.name for p in folder.iterdir()) == ["cfg.json", "weights.safetensors"]


def test_a_stop_between_the_files_leaves_no_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.replace

    def stop(source: str, target: str) -> None:
        if str(target).endswith("cfg.json"):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", stop)
    dictionary = TopK(torch.randn(4, 9), torch.zeros(9), torch.randn(9, 4), torch.zeros(4), 2)
    with pytest.raises(KeyboardInterrupt):
        save_dictionary(dictionary, tmp_path, {})
    with pytest.raises(AutointerpError, match="no dictionary in"):
        load_dictionary(tmp_path)
