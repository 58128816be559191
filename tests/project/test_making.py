"""A new workspace: paths become absolute, and nothing is written before the settings are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import UsageError
from autointerp.project.making import make_workspace, pinned
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder


def test_paths_become_absolute_and_hub_ids_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model", "pictures", "config"):
        Path(name).mkdir()
    found = pinned(Settings.from_values({"model": "model", "images_dir": "pictures", "loading": {"config": "config"}}))
    assert found.model == str(tmp_path / "model")
    assert found.images_dir == str(tmp_path / "pictures")
    assert found.loading.config == str(tmp_path / "config")
    assert pinned(Settings.from_values({"model": "owner/name"})).model == "owner/name"
    # A folder of that name is not meant by the name of the embedded model.
    Path("shapes-turbo").mkdir()
    assert pinned(Settings()).model == "shapes-turbo"


def test_a_prompts_file_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.txt").write_text("a red circle\n")
    assert pinned(Settings.from_values({"prompts": "p.txt"})).prompts == str(tmp_path / "p.txt")


def test_nothing_is_written_before_the_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make_workspace(tmp_path / "w", Settings.from_values({"size": 97}))
    with pytest.raises(UsageError, match="exclude each other"):
        make_workspace(tmp_path / "w", Settings.from_values({"prompts": "everyday", "images_dir": "."}))
    assert not (tmp_path / "w").exists()
    assert make_workspace(tmp_path / "w", Settings.from_values({"images": 7})) == tmp_path / "w"
    assert WorkspaceFolder(tmp_path / "w").settings.images == 7
    with pytest.raises(UsageError):
        make_workspace(tmp_path / "w", Settings())
