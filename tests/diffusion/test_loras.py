"""LoRAs: the files that the setting means, what they do to a pipeline, and refusals in a line."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.loading_options import LoadingSettings
from autointerp.diffusion.loras import loras_of, split_weight
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.project.making import make_workspace
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from tests.diffusion.helpers import Folders, Models, loaded, same, seen
from tests.diffusion.lora_files import save_lora

pytest.importorskip("peft")
LoraFile = Callable[..., Path]


@pytest.fixture(scope="session")
def lora_file(tiny_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> LoraFile:
    """A LoRA of a tiny pipeline, of some of its parts; see `lora_files`."""

    def write(name: str, parts: tuple[str, ...] = ("denoiser",), targets: tuple[str, ...] = ("to_q", "to_v")) -> Path:
        return save_lora(loaded(tiny_folder(name)).pipeline, tmp_path_factory.mktemp(name), targets, parts)

    return write


@pytest.mark.parametrize(("name", "parts"), [("sd", ("denoiser", "text_encoder")), ("flux", ("denoiser",))])
def test_a_lora_changes_what_is_painted_by_its_weight(
    name: str, parts: tuple[str, ...], lora_file: LoraFile, tiny_folder: Folders, tiny_model: Models
) -> None:
    plain, file = tiny_model(name), lora_file(name, parts)
    whole = loaded(tiny_folder(name), lora=[str(file)])
    none = loaded(tiny_folder(name), lora=[f"{file}:0"])
    assert whole.notes == none.notes == ()
    assert same(seen(none), seen(plain))
    (acts, pictures), (others, other_pictures) = seen(whole), seen(plain)
    assert not any(torch.equal(a, b) for a, b in zip(acts, others, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(pictures, other_pictures, strict=True))
    # The modules are those of the pipeline without it, so that hookpoints stay.
    assert [n for n, _ in whole.denoiser.named_modules()] == [n for n, _ in plain.denoiser.named_modules()]
    revisions = [model.revision for model in (plain, none, whole)]
    assert len(set(revisions)) == 3
    assert all(revision.startswith(f"{revisions[0]}+lora-") for revision in revisions[1:])


def test_a_lora_adds_the_product_of_its_matrices(lora_file: LoraFile, tiny_folder: Folders, tiny_model: Models) -> None:
    file = lora_file("flux")
    held, plain = load_file(file), tiny_model("flux").denoiser.state_dict()
    two = loaded(tiny_folder("flux"), lora=[f"{file}:0.5", f"{file}:-0.25"]).denoiser.state_dict()
    changed = {key for key in plain if not torch.equal(plain[key], two[key])}
    modules = {key.removeprefix("transformer.").partition(".lora_")[0] for key in held}
    assert changed == {f"{module}.weight" for module in modules}
    for module in modules:
        down, up = (held[f"transformer.{module}.lora_{which}.weight"] for which in "AB")
        wanted = plain[f"{module}.weight"] + 0.25 * up @ down
        assert torch.allclose(two[f"{module}.weight"], wanted, atol=1e-4)


def test_a_lora_is_known_by_its_content_and_weight(lora_file: LoraFile, tmp_path: Path) -> None:
    file = lora_file("flux")
    copy = tmp_path / "style.safetensors"
    copy.write_bytes(file.read_bytes())
    other = tmp_path / "other.safetensors"
    save_file({key: value + 1 for key, value in load_file(file).items()}, other)

    def revisions(*entries: str) -> list[str]:
        return [lora.revision for lora in loras_of(entries)]

    assert revisions(str(file)) == revisions(str(file.parent)) == revisions(f"{copy}:1.0") != revisions(f"{copy}:0.5")
    assert revisions(str(file), f"{other}:0.3") == revisions(f"{other}:0.3", str(copy))
    assert revisions(str(other)) != revisions(str(file))


def test_a_workspace_keeps_a_lora_by_its_whole_path(
    lora_file: LoraFile, tiny_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lora_file("flux")
    monkeypatch.chdir(file.parent)
    given = {"model": str(tiny_folder("flux")), "loading": {"lora": f"{file.name}:0.5"}, "images": 2, "size": 64}
    folder = make_workspace(tmp_path / "w", Settings.from_values(given))
    monkeypatch.chdir(tmp_path)
    ctx = Context(WorkspaceFolder(folder))
    assert ctx.settings.loading.lora == [f"{file}:0.5"]
    assert ctx.description.loras[0].weight == 0.5


def test_a_lora_of_the_hub_is_fetched_by_its_file(lora_file: LoraFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file, asked = lora_file("flux"), []

    def download(repo: str, name: str, **how: object) -> str:
        asked.append((repo, name, how["local_files_only"]))
        return str(file)

    monkeypatch.setattr("autointerp.diffusion.loras.hub_answers", lambda _: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_: ["README.md", "style.safetensors"])
    named = loras_of(["owner/name/sub/a.safetensors", "hf:owner/name:0.5"])
    assert asked == [("owner/name", "sub/a.safetensors", False), ("owner/name", "style.safetensors", False)]
    assert [lora.weight for lora in named] == [0.5, 1]


# Errors


def test_an_entry_is_a_place_and_a_number() -> None:
    assert split_weight("owner/name:0.8") == ("owner/name", 0.8)
    assert split_weight(" a.safetensors ") == ("a.safetensors", 1)
    assert split_weight("hf:owner/name/a.safetensors:-1e-1") == ("hf:owner/name/a.safetensors", -0.1)
    assert split_weight(r"C:\loras\a.safetensors") == (r"C:\loras\a.safetensors", 1)
    for entry in ("a.safetensors:strong", "owner/name:nan", "owner/name:inf", ":0.5", "", "owner/name:"):
        with pytest.raises(ValidationError, match="should be PATH or OWNER/NAME"):
            LoadingSettings(lora=[entry])
    with pytest.raises(UsageError) as raised:
        Settings.from_values({"loading": {"lora": ["a:strong"]}})
    assert "a:strong" in str(raised.value)
    assert "a number" in raised.value.hint
    assert "\n" not in str(raised.value)


def test_a_place_without_a_lora_is_an_error(
    tiny_folder: Folders, lora_file: LoraFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    several = tmp_path / "several"
    several.mkdir()
    for name in ("a", "b"):
        (several / f"{name}.safetensors").write_bytes(lora_file("flux").read_bytes())
    (tmp_path / "text.bin").write_bytes(b"x" * 100)
    (tmp_path / "damaged.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{broken")
    whole = next((tiny_folder("flux") / "transformer").glob("*.safetensors"))
    for place, words in (
        ("missing.safetensors", "there is no LoRA 'missing.safetensors'"),
        ("./a/b.safetensors", "there is no LoRA './a/b.safetensors'"),
        ("owner/of-nothing", "the LoRA 'owner/of-nothing' is not wholly on this machine"),
        ("owner/of-nothing/a.safetensors", "the LoRA 'owner/of-nothing' is not wholly on this machine"),
        (str(tmp_path / "empty"), "holds no .safetensors file"),
        (str(several), f"name one of them: {several}/a.safetensors"),
        (str(tmp_path / "text.bin"), "is no .safetensors file"),
        (str(tmp_path / "damaged.safetensors"), "damaged"),
        (str(whole), "is no LoRA"),
    ):
        with pytest.raises(AutointerpError) as raised:
            describe_model(str(tiny_folder("flux")), loading=LoadingSettings(lora=[place], local_files_only=True))
        assert words in str(raised.value)
        assert raised.value.hint
        assert "\n" not in str(raised.value)


def test_a_lora_of_another_model_is_an_error(
    tiny_folder: Folders, lora_file: LoraFile, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flux = lora_file("flux")
    wider = tmp_path / "wider.safetensors"
    held = load_file(flux)
    save_file({key: torch.cat([value, value], 1 if "lora_A" in key else 0) for key, value in held.items()}, wider)
    for folder, file in (("sd", flux), ("flux", wider), ("flux", lora_file("sd"))):
        with pytest.raises(AutointerpError, match=r"has no module of|does not fit") as raised:
            loaded(tiny_folder(folder), lora=[str(file)])
        assert str(file) in raised.value.message
        assert "trained on" in raised.value.hint
        assert "\n" not in str(raised.value)
        if file == wider:
            assert ": size mismatch for " in raised.value.message
    assert "unsuccessful" not in capfd.readouterr().err


def test_what_a_lora_adds_to_missing_modules_is_told(tiny_folder: Folders, lora_file: LoraFile, tmp_path: Path) -> None:
    held, file = load_file(lora_file("flux")), tmp_path / "more.safetensors"
    more = {key.replace("transformer_blocks.0", "transformer_blocks.77"): value.clone() for key, value in held.items()}
    save_file({**held, **more}, file)
    (note,) = loaded(tiny_folder("flux"), lora=[str(file)]).notes
    assert f"of the LoRA {file} are not in" in note


def test_a_lora_that_is_not_finite_is_an_error(tiny_folder: Folders, lora_file: LoraFile, tmp_path: Path) -> None:
    file = tmp_path / "nan.safetensors"
    save_file({key: value * float("nan") for key, value in load_file(lora_file("flux")).items()}, file)
    with pytest.raises(AutointerpError, match="does not fit"):
        loaded(tiny_folder("flux"), lora=[str(file)])


def test_what_a_model_or_a_machine_cannot_take_is_an_error(
    tiny_folder: Folders, lora_file: LoraFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(lora_file("flux"))
    with pytest.raises(UsageError, match="diffusers loads no LoRA into a PixArt"):
        loaded(tiny_folder("pixart"), lora=[file])
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: found("json" if name == "torchao" else name))
    with pytest.raises(UsageError, match="does not go with loading.quantize"):
        loaded(tiny_folder("flux"), lora=[file], quantize="int8")
    monkeypatch.setattr("autointerp.diffusion.lora_fusing.find_spec", lambda _: None)
    with pytest.raises(AutointerpError, match=r"pip install 'autointerp\[lora\]'"):
        loaded(tiny_folder("flux"), lora=[file])
