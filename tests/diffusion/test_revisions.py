"""Revisions follow the weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from autointerp.diffusion.revisions import folder_revision


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "copy"))


def test_the_revision_is_that_of_the_weights(model_folder: Path, tmp_path: Path) -> None:
    copy = copied(model_folder, tmp_path)
    assert folder_revision(copy) == folder_revision(model_folder)
    (copy / "autointerp.json").write_text("{}")
    assert folder_revision(copy) == folder_revision(model_folder)
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert folder_revision(copy) != folder_revision(model_folder)


def test_the_revision_of_a_model_in_two_folders_follows_both(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    for folder in (own, shared):
        folder.mkdir()
        (folder / "weights.bin").write_bytes(folder.name.encode())
    found = {folder_revision(own), folder_revision(own, shared), folder_revision(shared, own)}
    (shared / "weights.bin").write_bytes(b"other")
    assert len({*found, folder_revision(own, shared)}) == 4
