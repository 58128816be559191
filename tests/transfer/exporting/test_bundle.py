"""Bundles of a workspace carry the labels that were asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from autointerp import Workspace
from autointerp.db.models import Image, Label, LabelerRow, Score

from ..bundles import NAME, Cli, content


def test_only_labels_of_the_least_score_travel(judged: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    assert cli("-w", judged, "-q", "export", "--layer", "mid", "-o", out, "--min-score", "0.8").code == 0
    shown = sum(json.loads(line)["name"] != "" for line in (out / "labels.jsonl").read_text().splitlines())
    assert cli("-w", tmp_path / "w", "-q", "import", out).code == 0
    opened = Workspace(tmp_path / "w")
    with opened.db.session() as session:
        kept = session.scalars(select(Label)).all()
        assert 0 < len(kept) == shown
        assert {s.label_id for s in session.scalars(select(Score))} == {label.id for label in kept}
        assert session.scalars(select(LabelerRow)).all()
    opened.close()


def test_one_labelers_bundle_carries_its_labels_alone(judged: Path, databases: Any, tmp_path: Path, cli: Cli) -> None:
    said = tmp_path / "mine.csv"
    said.write_text(f"feature,name\n{NAME}:3,my own name\n")
    databases.copy(judged, tmp_path / "w")
    assert cli("-w", tmp_path / "w", "labels", "import", said, "--by", "ada").code == 0
    out = tmp_path / "out"
    done = cli("-w", tmp_path / "w", "-q", "export", "--layer", "mid", "-o", out, "--labeler", "human")
    assert done.code == 0, done
    assert [one["kind"] for one in json.loads((out / "provenance.json").read_text())["labelers"]] == ["human"]
    assert cli("-w", tmp_path / "v", "-q", "import", out).code == 0
    assert [row["name"] for row in content(tmp_path / "v")["labels"]] == ["my own name"]


def test_a_picture_that_does_not_decode_is_one_line(judged: Path, databases: Any, tmp_path: Path, cli: Cli) -> None:
    databases.copy(judged, tmp_path / "w")
    opened = Workspace(tmp_path / "w")
    with opened.db.session() as session:
        session.execute(update(Image).values(picture=b"\0"))
    opened.close()
    done = cli("-w", tmp_path / "w", "-q", "export", "--layer", "mid", "-o", tmp_path / "out")
    assert done.code == 1, done
    assert done.err.count("\n") == 1, done
    assert "does not decode" in done.err, done
