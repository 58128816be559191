"""Labels are written to a file, edited, and taken back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from .labels import NAME, Cli, Query, human, jsonl


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_labels_are_written_edited_and_taken_back(
    run: Cli, workspace: Path, live: list[int], query: Query, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"labels.{ending}"
    formula = '=HYPERLINK("http://x")'
    assert run("label", "--feature", f"{NAME}:{live[0]}", "--name", formula, "--explanation", "'-'").code == 0
    out = run("labels", "export", file)
    assert out.code == 0
    assert f"{len(live)} labels" in out.err
    if ending == "csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(file.open()))
        # No spreadsheet takes it for a formula.
        assert rows[0]["name"] == "'" + formula
        assert rows[0]["explanation"] == "''-'"
    else:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert list(rows[0]) == ["feature", "name", "explanation", "confidence", "labeler"]
    assert [row["feature"] for row in rows] == [f"{NAME}:{latent}" for latent in live]
    assert rows[0]["labeler"] == "human"
    assert len({row["labeler"] for row in rows[1:]}) == 1
    assert rows[1]["labeler"].startswith("clip@shapes-clip@")
    before = query(workspace, "SELECT count(*) FROM labels")
    # As it is, it says nothing new.
    same = run("labels", "import", file)
    assert same.code == 0
    assert f"{len(live)} are there already" in same.err
    assert query(workspace, "SELECT count(*) FROM labels") == before
    # What a person changed is the person's; what no labeler here ever said is of a labeler of its own.
    rows[1]["name"] = "changed by hand"
    rows.append({**rows[2], "name": "elsewhere", "labeler": "vlm@far#abcdef"})
    if ending == "csv":
        with file.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        jsonl(file, *rows)
    for taken in (2, 0):
        done = run("labels", "import", file, "--by", "anna")
        assert done.code == 0, done.err
        assert done.out == (f"{NAME}: 2 labels taken, of {ending}\n" if taken else ""), done.err
    assert human(query, workspace)[1:] == [(live[1], "anna", "changed by hand", rows[1]["explanation"], pytest.approx(
        float(rows[1]["confidence"])))]  # fmt: skip
    listed = json.loads(run("labels", "list", "--json").out)
    assert [(x["labeler"], x["labels"], x["counting"]) for x in listed][1:] == [
        ("human", 1, 1),
        ("human@anna", 1, 1),
        ("vlm@far", 1, 1),
    ]
    clip = listed[0]
    assert clip["labels"] == len(live)
    assert clip["counting"] == len(live) - 3
    assert 0.5 < clip["scores"]["embedding"] <= 1
    assert clip["labeler"] in run("labels", "list").out
