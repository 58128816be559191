"""`benchmark` at the command line; tests/benchmark/ has its tasks and figures."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import call

SMALL = ("--shown", 8, "--images", 12, "--each", 1, "--base-rate", 0.1, "--noise", 0.2, "--crops", 2)


def test_tasks_are_written_and_names_are_scored(tmp_path: Path) -> None:
    made = call("benchmark", "naming", "-o", tmp_path / "tasks", *SMALL)
    assert (made.code, made.out.strip()) == (0, str(tmp_path / "tasks"))
    units = [json.loads(line)["unit"] for line in (tmp_path / "tasks" / "tasks.jsonl").read_text().splitlines()]
    (tmp_path / "labels.jsonl").write_text(json.dumps({"unit": units[0], "name": "glassy"}) + "\n")
    asked = ("benchmark", "naming", "--tasks", tmp_path / "tasks", "--score", tmp_path / "labels.jsonl")
    printed = call(*asked, "--results", tmp_path / "results.json")
    assert printed.code == 0
    assert "constant" in printed.out
    assert f"{len(units) - 1} units have no name in the file: each counts as wrong" in printed.out
    assert "'glassy' holds nowhere: the world has no word 'glassy'" in printed.out
    assert json.loads(call(*asked, "--json").out) == json.loads((tmp_path / "results.json").read_text())


def test_labels_are_written_and_values_are_scored(tmp_path: Path) -> None:
    assert call("benchmark", "scoring", "-o", tmp_path / "tasks", *SMALL).code == 0
    tasks = [json.loads(line) for line in (tmp_path / "tasks" / "tasks.jsonl").read_text().splitlines()]
    values = [json.dumps({"label": task["label"], "value": len(task["name"])}) + "\n" for task in tasks[1:]]
    (tmp_path / "values.jsonl").write_text("".join(values))
    asked = ("benchmark", "scoring", "--tasks", tmp_path / "tasks", "--score", tmp_path / "values.jsonl")
    printed = call(*asked)
    assert printed.code == 0
    assert "rarest" in printed.out
    assert "1 labels have no value in the file: each counts as told wrong" in printed.out
    assert json.loads(call(*asked, "--json").out)["labels"] == len(tasks)


def test_what_is_asked_for_must_be_clear(tmp_path: Path) -> None:
    for options in ((), ("-o", tmp_path / "x", "--tasks", tmp_path), ("--tasks", tmp_path)):
        asked = call("benchmark", "naming", *options)
        assert asked.code == 2
        assert "give -o DIR, or --tasks DIR with --score FILE" in asked.err
    missing = call("benchmark", "naming", "--tasks", tmp_path, "--score", tmp_path / "labels.jsonl")
    assert missing.code == 2
    assert "holds no tasks" in missing.err
    assert missing.err.count("\n") == 1
