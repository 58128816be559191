"""The settings' file: written with its remarks, read back, changed by assignments."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import AutointerpError
from autointerp.project.settings import Settings
from autointerp.project.settings_file import read_settings, settings_of_assignments, settings_text


def test_assignments_and_options_give_settings() -> None:
    found = settings_of_assignments(["images=7", "crops.top=3", "model=folder"], {"images": 9})
    assert (found.images, found.crops.top, found.model) == (9, 3, "folder")
    assert found.changed(images=Settings().images, model=Settings().model, crops={"top": Settings().crops.top}) == (
        Settings()
    )


def test_a_file_without_a_model_keeps_the_default_of_its_time(tmp_path: Path) -> None:
    path = tmp_path / "autointerp.toml"
    path.write_text("images = 5\n")
    assert read_settings(path).model == "shapes"
    path.write_text(settings_text(Settings()))
    assert 'model = "shapes-turbo"' in path.read_text().splitlines()
    assert read_settings(path) == Settings()


@pytest.mark.parametrize("text", ["images = [1\n", "images = 'x'\n", "imges = 3\n", "\x00"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "autointerp.toml"
    path.write_text(text)
    with pytest.raises(AutointerpError) as raised:
        read_settings(path)
    assert "\n" not in str(raised.value)
    assert path.read_text() == text


def test_what_is_no_file_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "autointerp.toml")
    with pytest.raises(AutointerpError, match="is no file"):
        read_settings(tmp_path / "autointerp.toml")
