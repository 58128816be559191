"""Which files of a folder are a dictionary, and what is said where there are none or several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autointerp.dictionaries.formats.places import checkpoints, dictionary_files, files_of, is_training_state
from autointerp.errors import AutointerpError, UsageError


def weights(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            save_file({"a": torch.ones(2)}, path)
        else:
            torch.save({"a": torch.ones(2)}, path)


@pytest.mark.parametrize(
    "name",
    ["optimizer.pt", "optimizer_0.pt", "lr_scheduler.pt", "scheduler.bin", "state.pt", "trainer_state.pt", "scaler.pt"],
)
def test_the_state_of_a_training_is_told_by_its_name(name: str) -> None:
    assert is_training_state(name)
    assert is_training_state(f"run/{name}")


@pytest.mark.parametrize("name", ["state_dict.pth", "ae.pt", "sae.safetensors", "sae_weights.safetensors", "atoms.pt"])
def test_a_dictionary_is_no_state_of_a_training(name: str) -> None:
    assert not is_training_state(name)


def test_names_are_sorted_by_their_numbers() -> None:
    assert dictionary_files(["ae_20000.pt", "ae_1000.pt", "ae_0.pt"]) == ["ae_0.pt", "ae_1000.pt", "ae_20000.pt"]
    assert dictionary_files(["optimizer.pt", "x.json"]) == ["optimizer.pt"], "it may be all there is"
    assert checkpoints(["mean.pt", "std.pt", "state_dict.pth"]) == []
    assert checkpoints(["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]) == []


def test_the_dictionary_below_the_state_of_a_training_is_taken(tmp_path: Path) -> None:
    weights(tmp_path / "optimizer.pt", tmp_path / "state.pt", tmp_path / "unet.mid_block" / "sae.safetensors")
    folder, files, note = files_of(tmp_path)
    assert (folder.name, [path.name for path in files]) == ("unet.mid_block", ["sae.safetensors"])
    assert "optimizer.pt, state.pt" in note
    assert "unet.mid_block" in note
    weights(tmp_path / "unet.up_blocks.0" / "sae.safetensors", tmp_path / "old" / "optimizer.pt")
    with pytest.raises(UsageError, match=r"holds 2 dictionaries: name one of its folders: unet\.mid_block, unet\.up"):
        files_of(tmp_path)


def test_weights_below_those_that_are_taken_are_noted(tmp_path: Path) -> None:
    weights(tmp_path / "ae.pt", tmp_path / "checkpoints" / "ae_0.pt", tmp_path / ".hidden" / "ae.pt")
    folder, files, note = files_of(tmp_path)
    assert (folder, [path.name for path in files]) == (tmp_path, ["ae.pt"])
    assert note == "the weights below, in checkpoints, are left out"


def test_a_folder_without_weights_says_what_lies_there(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(AutointerpError, match="holds no weights: a dictionary has a file that ends in"):
        files_of(tmp_path)
    np.savez(tmp_path / "params.npz", W=np.zeros(2))
    with pytest.raises(AutointerpError, match=r"params\.npz is a NumPy archive.*save its tensors"):
        files_of(tmp_path)
    (tmp_path / "params.npz").unlink()
    (tmp_path / "sae.safetensors").symlink_to(tmp_path / "blobs" / "4d7a")
    with pytest.raises(AutointerpError, match="a link to a file that is not there"):
        files_of(tmp_path)
