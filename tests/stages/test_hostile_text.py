"""A label is data: whatever it holds, it is shown as text, in every place that shows one."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Cli = Callable[..., Any]
NAME = "[red]<script>\u202eetihw\u202c \x1b[31mstop\x1b[0m\x9b2J\u2028end"
SEEN = "[red]<script>etihw [31mstop[0m2J end"
"""The same as people may see it."""


@pytest.fixture
def hostile(workspace: Path, query: Callable[..., list[Any]]) -> tuple[Path, str]:
    """A feature whose label is in the database as it must never have come in; all other features have it too."""
    from autointerp.project.workspace import WorkspaceFolder

    latent = query(
        workspace, "SELECT f.latent_index FROM features f JOIN labels l ON l.feature_id = f.id WHERE l.status = 'ok'"
    )[0][0]
    opened = WorkspaceFolder(workspace)
    with opened.db.session() as session:
        from autointerp.db import queries

        dictionary = queries.dictionaries.by_name(session, "shapes-turbo.mid.topk")
        # The model card and `compare` show a few features each, whichever these are.
        for best in queries.labels.best(session, dictionary.id).values():
            best.label.name, best.label.explanation, best.label.confidence = NAME, f"{NAME}\nrm -rf", 1.0
            for score in queries.scores.of_labels(session, [best.label.id]).get(best.label.id, []):
                score.value = 1.0
    opened.close()
    return workspace, f"shapes-turbo.mid.topk:{latent}"


def hidden(text: str) -> set[str]:
    return {c for c in text.replace("\n", "") if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")}


def test_the_terminal(hostile: tuple[Path, str], cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    workspace, feature = hostile
    for command in (
        ("show", feature),
        ("search", "script", "--route", "words"),
        ("compare", "shapes-turbo.mid.topk", "shapes-turbo.mid.topk"),
    ):
        done = cli("-w", workspace, *command)
        assert done.code == 0, command
        assert not hidden(done.out + done.err), command
        assert SEEN in done.out, command
    # Where a terminal shows pictures, lines stand between them.
    from autointerp.commands.printing.features import print_hits
    from autointerp.views.search.hits import Hit

    capsys.readouterr()
    print_hits([Hit(feature, NAME, NAME, None, None, prompt=NAME)], lambda picture: None, {})
    assert not hidden(said := capsys.readouterr().out)
    assert said.count(SEEN[:8]) == 3
    # An error, too, may quote what somebody wrote.
    refused = cli("-w", workspace, "show", f"{NAME}:1")
    assert refused.code == 2
    assert not hidden(refused.err)
    assert refused.err.count("\n") == 1


def test_json_is_whole_and_shows_nothing_hidden(hostile: tuple[Path, str], cli: Cli) -> None:
    workspace, feature = hostile
    shown = cli("-w", workspace, "show", feature, "--json")
    found = cli("-w", workspace, "search", "script", "--route", "words", "--json")
    assert not hidden(shown.out + found.out)
    assert json.loads(shown.out)["label"]["name"] == json.loads(found.out)[0]["name"] == NAME


def test_files(hostile: tuple[Path, str], cli: Cli, tmp_path: Path) -> None:
    workspace, feature = hostile
    for form in ("bundle", "jsonl", "saelens"):
        assert cli("-w", workspace, "export", "--layer", "mid", "-o", tmp_path / form, "--format", form).code == 0
        text = (tmp_path / form / "labels.jsonl").read_text()
        assert not hidden(text)
        assert NAME in [json.loads(line)["name"] for line in text.splitlines()]
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert not hidden(card)
    assert "<script>" not in card
    assert "[red]" not in card.replace("\\[red\\]", "")
    assert "&lt;script&gt;" in card
    for ending in ("csv", "jsonl"):
        path = tmp_path / f"labels.{ending}"
        assert cli("-w", workspace, "labels", "export", path).code == 0
        text = path.read_text()
        assert not hidden(text)
        rows: list[Any] = (
            list(csv.DictReader(io.StringIO(text)))
            if ending == "csv"
            else [json.loads(line) for line in text.splitlines()]
        )
        assert {row["feature"]: row["name"] for row in rows}[feature] == SEEN
    # A bundle comes in without what is hidden.
    other = tmp_path / "other"
    assert cli("-w", other, "import", tmp_path / "bundle").code == 0
    names = [json.loads(line)["name"] for line in _exported(cli, other, tmp_path)]
    assert SEEN in names
    assert not hidden("".join(names))


def _exported(cli: Cli, workspace: Path, tmp_path: Path) -> list[str]:
    path = tmp_path / "again.jsonl"
    assert cli("-w", workspace, "labels", "export", path).code == 0
    return path.read_text().splitlines()


def test_pictures_draw_no_hidden_characters() -> None:
    from autointerp.crops.sheet import contact_sheet

    sheets = [
        np.asarray(contact_sheet([(name, name, [Image.new("RGB", (8, 8))])], heading=name)) for name in (NAME, SEEN)
    ]
    assert np.array_equal(sheets[0], sheets[1])


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    from autointerp.progress import BarProgress, LogProgress

    for progress in (BarProgress(), LogProgress(every=0)):
        with progress.task("label [red]x", 2) as task:
            task.advance(1, NAME)
        progress.note(NAME)
        said = capsys.readouterr().err
        # The bar itself speaks in escapes; none of them may be the label's.
        assert "\u202e" not in said
        assert "\x9b" not in said
        assert "\x1b[31mstop" not in said
        assert "[red]<script>" in said.replace("\n", ""), said
        assert SEEN in said, said
