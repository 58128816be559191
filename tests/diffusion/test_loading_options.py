"""Options of loading, and the revisions that they name."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.diffusion.revisions import folder_revision
from autointerp.errors import UsageError
from tests.diffusion.helpers import Folders, config_of, loaded


def test_equal_options_have_equal_hashes() -> None:
    one, same, other = (LoadingSettings(lora=[f"a.safetensors:{weight}"]) for weight in (0.5, 0.5, 1))
    assert hash(one) == hash(same)
    assert len({one, same, other}) == 2


def test_what_changes_the_weights_names_another_model(tiny_folder: Folders) -> None:
    folder = tiny_folder("sd")

    def revision(**loading: Any) -> str:
        return describe_model(str(folder), loading=LoadingSettings(**loading)).revision

    plain = describe_model(str(folder)).revision
    assert plain == folder_revision(folder) == revision()
    for same_weights in (
        {"offload": "model"},
        {"compile": "eager", "attention_slicing": True, "vae_slicing": True, "vae_tiling": True},
        {"variant": "fp16", "local_files_only": True},
    ):
        assert revision(**same_weights) == plain
    others = [revision(quantize=how) for how in ("int8", "fp8", "nf4")] + [revision(variant="non_ema")]
    assert len({plain, *others}) == 5
    assert others[0] == f"{plain}+int8"


# Errors


def test_a_setting_that_cannot_be_is_an_error(
    tiny_folder: Folders, single: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    config = config_of(single("sd"))
    for source, loading, words in (
        (tiny_folder("flux"), {"offload": "model"}, ["no accelerator to offload from", "leave it out"]),
        (tiny_folder("flux"), {"attention_slicing": True}, ["is for U-Nets", "leave it out"]),
        (tiny_folder("flux"), {"config": config}, ["is for a single-file checkpoint", "leave it out"]),
        (single("sd"), {"config": config, "quantize": "int8"}, ["does not go with a single-file", "save_pretrained"]),
        (single("sd"), {"config": config, "variant": "fp16"}, ["loading.variant does not apply", "leave it out"]),
    ):
        with pytest.raises(UsageError) as raised:
            loaded(source, **loading)
        for word in words:
            assert word in str(raised.value)
