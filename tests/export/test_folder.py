"""A folder is written whole or not at all, and only an earlier export is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.export.folder import whole_folder


def is_export(folder: Path) -> bool:
    return (folder / "mine").exists()


def write(target: Path, content: str) -> None:
    with whole_folder(target, is_export, "the export") as partial:
        (partial / "mine").write_text(content)
        (partial / content).write_text("")


def test_an_earlier_export_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "out"
    for content in ("first", "second"):
        write(target, content)
    assert sorted(path.name for path in target.iterdir()) == ["mine", "second"]
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_a_block_that_fails_leaves_the_earlier_export(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")

    def fail() -> None:
        with whole_folder(tmp_path / "out", is_export, "the export") as partial:
            (partial / "half").write_text("")
            raise OSError(28, "No space left on device")

    with pytest.raises(AutointerpError, match="^cannot write the export .*out: No space left on device"):
        fail()
    assert (tmp_path / "out" / "first").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_no_export_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds something that is not the export"):
        write(tmp_path / "out", "first")
    with pytest.raises(UsageError, match="is a file"):
        write(tmp_path / "out" / "thesis.tex", "first")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
