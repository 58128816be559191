"""A dictionary's folder that is hurt, foreign or too new is refused with one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autointerp.dictionaries.sae import TopK
from autointerp.dictionaries.storage import check_dictionary, load_dictionary, read_config, save_dictionary
from autointerp.errors import AutointerpError

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 50344\n"


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


def cut_without_hash(folder: Path) -> None:
    cut(folder)
    edit(folder, weights_sha256=None)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit": (flip, "not those cfg.json names"),
    "half a file": (cut, "cut short or changed"),
    "half a file without a hash": (cut_without_hash, "cannot read the weights"),
    "no bytes": (lambda f: (f / "weights.safetensors").write_bytes(b""), "an empty file"),
    "a pointer": (lambda f: (f / "weights.safetensors").write_text(LFS), "git LFS pointer.*git lfs pull"),
    "a config that is a pointer": (lambda f: (f / "cfg.json").write_text(LFS), "git LFS pointer.*git lfs pull"),
    "no k": (lambda f: edit(f, kind="itda", k=None), "do not fit its cfg.json"),
    "another kind": (lambda f: edit(f, kind="jumprelu"), "do not fit its cfg.json"),
    "another width": (lambda f: edit(f, d_in=5), "cfg.json says otherwise"),
    "a format that is none": (lambda f: edit(f, format="new"), "newer autointerp"),
    "a kind that is none": (lambda f: edit(f, kind=["topk"]), "unknown kind"),
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


def test_weights_must_be_those_that_a_database_knows(folder: Path) -> None:
    """Another dictionary's folder is whole, and is another dictionary all the same."""
    known = read_config(folder)["weights_sha256"]
    check_dictionary(folder, known)
    assert load_dictionary(folder, known).num_latents == 9
    for check in (check_dictionary, load_dictionary):
        with pytest.raises(AutointerpError, match="not those that the database knows"):
            check(folder, "0" * 64)
    for hurt in (flip, cut, lambda f: (f / "weights.safetensors").unlink()):
        hurt(folder)
        with pytest.raises(AutointerpError, match="weights"):
            check_dictionary(folder, known)
