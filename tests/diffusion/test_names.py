"""Names of models, however people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.names import on_this_machine, plain_name
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.making import pinned
from autointerp.project.settings import Settings
from tests.diffusion.helpers import Folders

HERE = "o/n"


@pytest.mark.parametrize(
    ("written", "revision"),
    [
        ("o/n", None),
        ("o/n/", None),
        (" o/n ", None),
        ("https://huggingface.co/o/n", None),
        ("https://huggingface.co/o/n/", None),
        ("http://www.huggingface.co/o/n?library=diffusers#usage", None),
        ("https://HuggingFace.co/o/n.git", None),
        ("https://huggingface.co/o/n/tree/main", None),
        ("https://huggingface.co/o/n/tree/fp16", "fp16"),
        ("https://huggingface.co/o/n/tree/refs%2Fpr%2F3", "refs/pr/3"),
        ("https://huggingface.co/o/n/tree/refs/pr/3/unet", "refs/pr/3"),
        ("https://huggingface.co/o/n/commit/c0ffee", "c0ffee"),
        ("https://huggingface.co/o/n/discussions/4", None),
        ("huggingface.co/o/n", None),
        ("hf.co/o/n", None),
        ("hf:o/n", None),
        ("hf://o/n@v2", "v2"),
    ],
)
def test_addresses_of_the_hub_are_owner_and_name(written: str, revision: str | None) -> None:
    assert plain_name(written) == (HERE, revision)
    found = pinned(Settings.from_values({"model": written}))
    assert (found.model, found.revision) == (HERE, revision)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("https://civitai.com/models/4384", "is of civitai.com, not of the Hugging Face hub"),
        ("https://github.com/o/n", "is of github.com"),
        ("https://huggingface.co.evil.example/o/n", "not of the Hugging Face hub"),
        ("s3://bucket/model", "not of the Hugging Face hub"),
        ("https://huggingface.co/datasets/o/n", "that of a data set"),
        ("https://huggingface.co/spaces/o/n", "that of a space"),
        ("https://huggingface.co/o/n/resolve/main/x.safetensors", "that of a file of o/n"),
        ("https://huggingface.co/o/n/blob/main/model_index.json", "that of a file of o/n"),
        ("https://huggingface.co/o", "names no model"),
        ("https://huggingface.co", "names no model"),
    ],
)
def test_other_addresses_are_refused_in_a_line(written: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        describe_model(written)
    assert says in raised.value.message
    assert "\n" not in str(raised.value)


def test_a_secret_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as raised:
        plain_name("https://me:hf_abcdef@huggingface.co/o/n")
    assert "hf_abcdef" not in str(raised.value)
    assert "secret" in raised.value.message


def test_a_mirror_that_the_environment_names_is_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        plain_name("https://hub.example/o/n")
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    assert plain_name("https://hub.example/o/n") == (HERE, None)


def test_one_revision_is_given_once() -> None:
    assert plain_name("https://huggingface.co/o/n/tree/fp16", "fp16") == (HERE, "fp16")
    assert plain_name("https://huggingface.co/o/n/tree/main", "fp16") == (HERE, "fp16")
    with pytest.raises(UsageError, match="'fp16', and --revision 'main'"):
        plain_name("https://huggingface.co/o/n/tree/fp16", "main")


def test_what_is_on_this_machine_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("o/n").mkdir(parents=True)
    assert plain_name("o/n/") == ("o/n/", None)
    assert on_this_machine("o/n/") == (tmp_path / "o/n").resolve()
    assert plain_name("shapes") == ("shapes", None)
    with pytest.raises(AutointerpError, match="no model folder"):
        on_this_machine(plain_name("./a/b/")[0])


def test_an_address_is_described_as_its_repository(tiny_folder: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    asked: list[tuple[str, str | None]] = []
    folder = tiny_folder("sd")

    def one(repo: str, file: str, revision: str | None, local_files_only: bool) -> str:
        asked.append((repo, revision))
        return str(folder / file)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", one)
    described = describe_model("https://huggingface.co/o/n/tree/fp16")
    assert described.name == HERE
    assert set(asked) == {(HERE, "fp16")}
