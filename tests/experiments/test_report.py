"""The page of an experiment holds all it shows, escapes every text, and replaces nothing but a report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.experiments import report
from autointerp.experiments.report import check_report_folder, write_report
from autointerp.experiments.running import run_experiment
from autointerp.project.context import Context
from tests.unwritable import read_only, run_as_others


def test_a_page_holds_figures_controls_plot_and_pictures(ctx: Context, scripted_experiment: Any) -> None:
    experiment = scripted_experiment()
    outcome = run_experiment(ctx, experiment)
    files = write_report(ctx, experiment, outcome)
    assert files.folder == (ctx.workspace.path / "experiments" / f"scripted-{outcome.plan.identity[:8]}").absolute()
    page = files.page.read_text(encoding="utf-8")
    assert '7.000 <span class="ends">(1.000 to 9.000)</span>' in page
    assert "<small>control</small>" in page
    assert page.count('src="data:image/') == 2
    assert "How long are &lt;b&gt;keys&lt;/b&gt;?" in page
    assert "a [U+202E]&lt;script&gt;" in page
    # Nothing is asked of a network, and nothing runs.
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    figures = json.loads((files.folder / "figures.json").read_text(encoding="utf-8"))
    assert figures["experiment"] == "scripted"
    assert figures["figures"][1] == outcome.figures[1].as_dict()
    assert files.plot is not None
    assert files.plot.read_bytes().startswith(b"\x89PNG")


def test_a_report_that_is_there_is_not_made_again(
    ctx: Context, scripted_experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = scripted_experiment()
    outcome = run_experiment(ctx, experiment)
    files = write_report(ctx, experiment, outcome)
    monkeypatch.setattr(experiment, "pictures", lambda results: pytest.fail("painted again"))
    assert write_report(ctx, experiment, outcome) == files
    files.page.unlink()
    with pytest.raises(pytest.fail.Exception):
        write_report(ctx, experiment, outcome)


def test_without_matplotlib_there_is_a_note_and_no_plot(
    ctx: Context, scripted_experiment: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(report, "can_plot", lambda: False)
    monkeypatch.setattr(ctx.progress, "note", notes.append, raising=False)
    experiment = scripted_experiment()
    files = write_report(ctx, experiment, run_experiment(ctx, experiment), tmp_path / "out")
    assert files.plot is None
    assert files.page.is_file()
    assert notes == ["no plot: matplotlib is not installed; pip install 'autointerp[plots]'"]


def test_only_a_report_is_replaced(ctx: Context, scripted_experiment: Any, tmp_path: Path) -> None:
    other = tmp_path / "letters"
    other.mkdir()
    (other / "figures.json").write_text("[1]")
    with pytest.raises(UsageError, match="holds something that is not a report"):
        check_report_folder(other)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        check_report_folder(tmp_path / "file")
    with pytest.raises(UsageError, match=r"file is a file: name a folder that does not lie in it"):
        check_report_folder(tmp_path / "file" / "deeper" / "report")
    experiment = scripted_experiment()
    write_report(ctx, experiment, run_experiment(ctx, experiment), tmp_path / "out")
    check_report_folder(tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_known_before_anything_is_measured(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    code = (
        "import sys; from pathlib import Path; from autointerp.experiments.report import check_report_folder\n"
        "try: check_report_folder(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    with read_only(locked):
        done = run_as_others("-c", code, locked / "deeper" / "report")
    assert done.stdout == f"UsageError nothing can be written into {locked}: check its rights, or name another folder\n"
    assert run_as_others("-c", code, locked / "deeper" / "report").stdout == ""
