"""Exports are of the weights that the database knows; they are uploaded, and what the hub refuses is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.transfer.exporting.formats import FORMATS

from ..bundles import NAME, Cli
from ..files import one_line


class FakeHub:
    """What the hub's client is asked for."""

    calls: list[tuple[str, dict[str, Any]]] = []

    def create_repo(self, repo: str, **given: Any) -> None:
        self.calls.append(("create", {"repo": repo, **given}))

    def upload_folder(self, **given: Any) -> None:
        files = sorted(p.relative_to(given["folder_path"]).as_posix() for p in given["folder_path"].rglob("*.*"))
        self.calls.append(("folder", {"repo": given["repo_id"], "files": files, "said": given["commit_message"]}))

    def upload_file(self, **given: Any) -> None:
        self.calls.append(("file", {"repo": given["repo_id"], "name": given["path_in_repo"]}))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    monkeypatch.setattr("huggingface_hub.HfApi", FakeHub)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    monkeypatch.setattr("autointerp.hub.why_not", lambda local=False: None)
    monkeypatch.setattr(FakeHub, "calls", [])
    return FakeHub.calls


def test_push_uploads_what_was_written(judged: Path, tmp_path: Path, cli: Cli, hub: Any) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("years of work")
    given = ("--push", "owner/name", "--private")
    done = cli("-w", judged, "-q", "export", "--layer", "mid", "-o", tmp_path / "out", *given)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path / 'out'}\nhttps://huggingface.co/owner/name\n"
    (created, folder) = hub
    assert created == ("create", {"repo": "owner/name", "private": True, "exist_ok": True})
    assert folder[0] == "folder"
    assert {"README.md", "manifest.json", "rows/crops.parquet"} <= set(folder[1]["files"])
    assert folder[1]["said"].startswith(f"{NAME}, exported by autointerp")
    # A folder that may hold other things is not uploaded: the file alone is.
    hub.clear()
    done = cli("-w", judged, "-q", "export", "--layer", "mid", "-o", tmp_path / "notes", "--format", "jsonl", *given)
    assert done.code == 0
    assert hub[1] == ("file", {"repo": "owner/name", "name": "labels.jsonl"})


def test_what_the_hub_refuses_is_one_line(
    judged: Path, tmp_path: Path, cli: Cli, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("-o", tmp_path / "out", "--format", "neuronpedia")
    given = ("-w", judged, "-q", "export", "--layer", "mid", *out, "--push", "owner/name")

    def lost(self: FakeHub, **kwargs: Any) -> None:
        raise ConnectionError("reset\nby peer")

    monkeypatch.setattr(FakeHub, "upload_folder", lost)
    done = cli(*given)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "cannot be reached: reset" in done.err
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    done = cli(*given)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "HF_TOKEN" in done.err
    monkeypatch.setattr("autointerp.hub.why_not", lambda local=False: "HF_HUB_OFFLINE is set")
    done = cli(*given)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "HF_HUB_OFFLINE is set" in done.err
    # The folder is there all the same.
    assert any((tmp_path / "out").rglob("release.jsonl"))


def _cut(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _empty(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"")


def _gone(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def _pointer(folder: Path) -> None:
    (folder / "weights.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n")


def _no_config(folder: Path) -> None:
    (folder / "cfg.json").write_text('{"kind": "to')


def _another(folder: Path) -> None:
    """A whole dictionary that is not the one of the row."""
    from autointerp.dictionaries.sae import TopK
    from autointerp.dictionaries.storage import load_dictionary, save_dictionary

    dictionary = load_dictionary(folder)
    assert isinstance(dictionary, TopK)
    dictionary.W_dec = dictionary.W_dec * 2
    save_dictionary(dictionary, folder, {})


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (_cut, "cut short or changed"),
    "empty": (_empty, "an empty file"),
    "gone": (_gone, "cannot read the weights"),
    "a pointer": (_pointer, "git lfs pull"),
    "a cut configuration": (_no_config, "cannot read"),
    "another dictionary": (_another, "not those that the database knows"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_the_database_does_not_know(
    judged: Path, databases: Any, tmp_path: Path, cli: Cli, damage: str
) -> None:
    """Whatever would carry them is refused; labels alone are those of the database, with a note."""
    hurt, said = DAMAGES[damage]
    workspace = tmp_path / "w"
    databases.copy(judged, workspace)
    hurt(workspace / "dictionaries" / NAME)
    for name, form in FORMATS.items():
        out = tmp_path / name
        done = cli("-w", workspace, "export", "--layer", "mid", "-o", out, "--format", name)
        if form.of_database:
            assert done.code == 0, done
            assert said in done.err
            assert out.exists()
        else:
            one_line(done, 1, said)
            assert not out.exists()
    one_line(cli("-w", workspace, "-q", "compare", NAME, NAME), 1, said)


@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_stages_refuse_damaged_weights_in_a_line(
    judged: Path, databases: Any, tmp_path: Path, cli: Cli, damage: str, small_parts: None
) -> None:
    workspace = tmp_path / "w"
    databases.copy(judged, workspace)
    hurt, said = DAMAGES[damage]
    hurt(workspace / "dictionaries" / NAME)
    feature = json.loads(cli("-w", workspace, "search", "a", "--json").out)[0]["feature"]
    for command in (
        ("steer", feature, "--prompt", "red", "-o", tmp_path / "a.png"),
        ("compare", NAME, NAME),
        ("explain", "a red circle"),
        ("harvest", "--dictionary", NAME, "--layer", "mid", "--images", "48"),
        ("evaluate", "--layer", "mid", "--dictionary", NAME),
    ):
        one_line(cli("-w", workspace, "-q", *command), 1, said)
    assert [path.name for path in (workspace / "dictionaries").iterdir()] == [NAME]
