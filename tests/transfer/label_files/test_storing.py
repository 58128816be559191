"""Labels of a person and of a file are taken whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .labels import NAME, Cli, Query, human, jsonl, shown


def test_a_person_names_a_feature(run: Cli, workspace: Path, live: list[int], query: Query) -> None:
    one, other = live[:2]
    before = shown(run, one)["label"]
    given = ("label", "--feature", f"{NAME}:{one}", "--name", "my red thing")
    dry = run(*given, "--dry-run")
    assert dry.code == 0
    assert "would be named" in dry.out
    assert not human(query, workspace)
    done = run(*given, "--explanation", "It  is\nred.", "--by", "anna")
    assert (done.code, done.out) == (0, f"{NAME}:{one} is named\n"), done.err
    assert human(query, workspace) == [(one, "anna", "my red thing", "It is red.", 1.0)]
    again = run(*given, "--explanation", "It is red.", "--by", "anna")
    assert again.code == 0
    assert "nothing to do" in again.err
    assert len(human(query, workspace)) == 1
    # By its layer it is the same feature, and who does not say who they are is another.
    assert run("label", "--layer", "mid", "--feature", other, "--name", "x").code == 0
    assert [row[:3] for row in human(query, workspace)] == [(one, "anna", "my red thing"), (other, "", "x")]

    found = shown(run, one)
    assert found["label"]["name"] == "my red thing"
    assert found["label"]["labeler"] == "human"
    assert not found["scores"]
    assert [(x["labeler"].partition("@")[0], x["name"], x["counts"]) for x in found["labels"]] == [
        ("clip", before["name"], False),
        ("human", "my red thing", True),
    ]
    assert found["labels"][0]["scores"][0]["method"] == "embedding"
    table = run("show", f"{NAME}:{one}").out
    assert "labeler" in table
    assert any(row.startswith("*  human@anna") for row in table.splitlines())
    chosen = shown(run, one, "--labeler", "clip")
    assert chosen["label"] == before
    assert [x["counts"] for x in chosen["labels"]] == [True, False]
    # The index of labels is what it should be, and so is everything else.
    assert run("db", "check").code == 0
    hits = json.loads(run("search", "my red thing", "--route", "words", "--json").out)
    assert hits[0]["feature"] == f"{NAME}:{one}"
    # It is scored like any other.
    assert run("score", "--layer", "mid").code == 0
    assert [s["method"] for s in shown(run, one)["scores"]] == ["embedding"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--feature", "3", "--name", "x"), "write --feature DICTIONARY:INDEX"),
        (("--feature", f"{NAME}:9999", "--name", "x"), "has no feature 9999"),
        (("--feature", "shapes-turbo.mid.topq:1", "--name", "x"), "did you mean 'shapes-turbo.mid.topk'?"),
        (("--feature", f"{NAME}:x", "--name", "x"), "is no feature"),
        (("--name", "x"), "given to one feature"),
        (("--feature", f"{NAME}:1", "--feature", f"{NAME}:2", "--name", "x"), "given to one feature"),
        (("--feature", f"{NAME}:1", "--name", "\u202e \n"), "has no name"),
        (("--feature", f"{NAME}:1", "--name", "x" * 121), "longer than 120"),
        (("--feature", f"{NAME}:1", "--layer", "mid", "--by", "me"), "--name TEXT"),
        (("--layer", "mid", "--labeler", "human"), "the labeler human is you"),
        (("--feature", f"{NAME}:1"), "Missing option '--layer'"),
    ],
)
def test_what_cannot_be_a_persons_label(
    run: Cli, workspace: Path, query: Query, given: tuple[str, ...], said: str
) -> None:
    done = run("label", *given)
    assert done.code == 2, done.err
    assert said in done.err, done.err
    assert done.err.count("\n") == 1, done.err
    assert not human(query, workspace)


def test_a_file_is_taken_whole_or_not_at_all(
    run: Cli, workspace: Path, live: list[int], query: Query, tmp_path: Path
) -> None:
    first, second, third = live[:3]
    file = jsonl(
        tmp_path / "mine.jsonl",
        {"feature": f"{NAME}:{first}", "name": "one", "explanation": "e", "confidence": 0.25, "labeler": "human@ben"},
        {"feature": f"{NAME}:{second}", "name": "two"},
        "",
        "no json",
        {"feature": f"{NAME}:{third}"},
        {"feature": f"{NAME}:999", "name": "x"},
        {"feature": "other:1", "name": "x"},
        {"feature": f"{NAME}:{third}", "name": "x", "confidence": 2},
        {"feature": f"{NAME}:{second}", "name": "two again"},
        {"feature": f"{NAME}:{third}", "name": ["x"]},
        {"feature": f"{NAME}:{third}", "name": "x", "labeler": "k" * 33},
    )
    done = run("labels", "import", file)
    assert done.code == 1
    assert "8 of 10 are refused" in done.err
    assert "--skip-bad" in done.err
    for line, reason in (
        (4, "no JSON object"),
        (5, "has no name"),
        (6, "has no feature 999"),
        (7, "no dictionary 'other'"),
        (8, "not a number from 0 to 1"),
        (9, "is in line 2 already"),
        (10, "name is no text"),
        (11, "labeler is longer"),
    ):
        assert any(row.startswith(f"line {line}: ") and reason in row for row in done.err.splitlines()), (
            line,
            done.err,
        )
    assert not human(query, workspace)
    dry = run("labels", "import", file, "--skip-bad", "--dry-run")
    assert dry.code == 3
    assert "2 labels would be taken" in dry.out
    assert not human(query, workspace)
    taken = run("labels", "import", file, "--skip-bad", "--by", "anna")
    assert taken.code == 3
    assert taken.out == f"{NAME}: 2 labels taken, of jsonl\n"
    rows = [(first, "ben", "one", "e", 0.25), (second, "anna", "two", "", 1.0)]
    assert sorted(human(query, workspace)) == sorted(rows)
    again = run("labels", "import", file, "--skip-bad", "--by", "anna")
    assert again.code == 3
    assert again.out == ""
    assert "2 are there already" in again.err
    assert sorted(human(query, workspace)) == sorted(rows)
    assert run("db", "check").code == 0
