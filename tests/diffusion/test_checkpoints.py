"""Single-file checkpoints, opened or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autointerp.diffusion.describe import describe_model
from autointerp.errors import AutointerpError
from tests.diffusion import original
from tests.diffusion.helpers import Folders, Models, config_of, loaded, same, seen


def test_a_ckpt_file_is_opened_as_weights_or_not_at_all(tiny_model: Models, single: Folders, tmp_path: Path) -> None:
    config = config_of(single("sd"))
    weights = original.checkpoint(tiny_model("sd").pipeline)
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "good.ckpt")
    assert same(seen(loaded(tmp_path / "good.ckpt", config=config)), seen(tiny_model("sd")))

    class Runs:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "it ran",)

    torch.save({"state_dict": weights, "callbacks": Runs()}, tmp_path / "bad.ckpt")
    for given in ({"config": config}, {}):
        with pytest.raises(AutointerpError, match="could run code") as raised:
            loaded(tmp_path / "bad.ckpt", **given)
        assert "safetensors" in raised.value.hint
        assert not (tmp_path / "it ran").exists()


def test_a_file_without_a_configuration_says_what_it_needs(
    single: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    save_file({"lora.down": torch.zeros(2, 2)}, tmp_path / "odd.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(single("sd").read_bytes()[:99])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    for file, says in {
        single("sd"): ["looks like stable-diffusion-v1-5/stable-diffusion-v1-5", "HF_HUB_OFFLINE", "loading.config"],
        tmp_path / "odd.safetensors": ["looks like no model", "loading.config"],
        tmp_path / "cut.safetensors": ["cannot be read", "fetch it again"],
        tmp_path / "empty.safetensors": ["an empty file", "fetch it again"],
        tmp_path / "empty.ckpt": ["an empty file", "fetch it again"],
        tmp_path / "none.safetensors": ["no checkpoint", "check the path"],
    }.items():
        with pytest.raises(AutointerpError) as raised:
            describe_model(str(file))
        assert "\n" not in str(raised.value)
        for words in says:
            assert words in str(raised.value)


def test_a_checkpoint_that_is_something_else_is_named(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 50344\n"
    for content, says in ((pointer, "a git LFS pointer"), ("<html>Sign in</html>", "a web page")):
        (tmp_path / "sd.safetensors").write_text(content)
        with pytest.raises(AutointerpError, match=says):
            describe_model(str(tmp_path / "sd.safetensors"))
