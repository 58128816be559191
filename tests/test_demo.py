"""`make demo`, on a workspace that is labeled already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp import LabeledDictionary, demo


def test_the_demo_goes_on_and_tells_all_that_it_should(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace.parent)
    monkeypatch.setattr(demo, "WORKSPACE", Path("w"))
    demo.main()
    told = capsys.readouterr()
    said = told.out
    expected = ("The best labeled features", 'search "red striped circle"', "exact labels, any truth", "Contact sheet:")
    for words in expected:
        assert words in said
    # What it does and how long it takes comes first, what to try next comes last.
    notes = told.err.splitlines()
    assert notes[0].startswith("The demo: label, evaluate, export and search in w.")
    assert any(line.startswith("demo: ") for line in notes)
    assert notes[-4] == "Next:"
    for line, command in zip(notes[-3:], ("search", "show", "export"), strict=True):
        assert f"autointerp -w w {command} " in line
    with Image.open(workspace / "features.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 300
        assert np.asarray(sheet.convert("L")).std() > 5
    assert LabeledDictionary.load(workspace / "export" / "mid")
