"""A command that labeled ends with the best names, their pictures and what to try next."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_label_ends_with_names_pictures_and_commands_that_work(
    workspace: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    here = Path(shutil.copytree(workspace, tmp_path / "my w"))
    done = cli("-w", here, "label", "--layer", "mid", "--force", "-n", "3", "--no-score")
    notes = done.err.splitlines()
    assert "The best names and their scores:" in notes
    assert (here / "features.png").read_bytes()[:4] == b"\x89PNG"
    assert f"Pictures: {here / 'features.png'}" in notes
    assert notes[-4] == "Next:"
    search, show, _ = (shlex.split(line) for line in notes[-3:])
    assert search[:3] == ["autointerp", "-w", str(here)]
    assert cli(*search[1:]).out
    assert cli(*show[1:-2]).out
    # Data alone is on stdout.
    assert len(done.out.splitlines()) == 1
    again = cli("-w", here, "label", "--layer", "mid", "-n", "3", "--no-score")
    assert "Next:" not in again.err
