"""Labels of people and of other tools, side by side with those of labelers: taken in, listed, compared, chosen."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Query = Callable[..., list[Any]]
NAME = "shapes.mid.topk"


@pytest.fixture
def run(workspace: Path, cli: Cli) -> Cli:
    return lambda *more: cli("-w", workspace, *more)


@pytest.fixture
def live(workspace: Path, query: Query) -> list[int]:
    """Latents that the labeler `clip` named."""
    named = query(
        workspace,
        "SELECT f.latent_index FROM features f JOIN labels l ON l.feature_id = f.id WHERE l.status = 'ok' ORDER BY 1",
    )
    return [latent for (latent,) in named]


def shown(run: Cli, latent: int, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", f"{NAME}:{latent}", "--json", *more).out)
    return found


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def human(query: Query, workspace: Path) -> list[Any]:
    return query(
        workspace,
        "SELECT f.latent_index, r.model, l.name, l.explanation, l.confidence FROM labels l"
        " JOIN labelers r ON r.id = l.labeler_id JOIN features f ON f.id = l.feature_id"
        " WHERE r.kind = 'human' ORDER BY l.id",
    )


def test_a_person_names_a_feature(run: Cli, workspace: Path, live: list[int], query: Query) -> None:
    one, other = live[:2]
    before = shown(run, one)["label"]
    given = ("label", "--feature", f"{NAME}:{one}", "--name", "my red thing")
    dry = run(*given, "--dry-run")
    assert dry.code == 0 and "would be named" in dry.out and not human(query, workspace)
    done = run(*given, "--explanation", "It  is\nred.", "--by", "anna")
    assert (done.code, done.out) == (0, f"{NAME}:{one} is named\n"), done.err
    assert human(query, workspace) == [(one, "anna", "my red thing", "It is red.", 1.0)]
    again = run(*given, "--explanation", "It is red.", "--by", "anna")
    assert again.code == 0 and "nothing to do" in again.err and len(human(query, workspace)) == 1
    # By its layer it is the same feature, and who does not say who they are is another.
    assert run("label", "--layer", "mid", "--feature", other, "--name", "x").code == 0
    assert [row[:3] for row in human(query, workspace)] == [(one, "anna", "my red thing"), (other, "", "x")]

    found = shown(run, one)
    assert found["label"]["name"] == "my red thing" and found["label"]["labeler"] == "human" and not found["scores"]
    assert [(x["labeler"].partition("@")[0], x["name"], x["counts"]) for x in found["labels"]] == [
        ("clip", before["name"], False),
        ("human", "my red thing", True),
    ]
    assert found["labels"][0]["scores"][0]["method"] == "embedding"
    table = run("show", f"{NAME}:{one}").out
    assert "labeler" in table and any(row.startswith("*  human@anna") for row in table.splitlines())
    chosen = shown(run, one, "--labeler", "clip")
    assert chosen["label"] == before and [x["counts"] for x in chosen["labels"]] == [True, False]
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
        (("--feature", "shapes.mid.topq:1", "--name", "x"), "did you mean 'shapes.mid.topk'?"),
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
    assert done.code == 2 and said in done.err and done.err.count("\n") == 1, done.err
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
    assert done.code == 1 and "8 of 10 are refused" in done.err and "--skip-bad" in done.err
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
    assert dry.code == 3 and "2 labels would be taken" in dry.out and not human(query, workspace)
    taken = run("labels", "import", file, "--skip-bad", "--by", "anna")
    assert taken.code == 3 and taken.out == f"{NAME}: 2 labels taken, of jsonl\n"
    rows = [(first, "ben", "one", "e", 0.25), (second, "anna", "two", "", 1.0)]
    assert sorted(human(query, workspace)) == sorted(rows)
    again = run("labels", "import", file, "--skip-bad", "--by", "anna")
    assert again.code == 3 and again.out == "" and "2 are there already" in again.err
    assert sorted(human(query, workspace)) == sorted(rows)
    assert run("db", "check").code == 0


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_labels_are_written_edited_and_taken_back(
    run: Cli, workspace: Path, live: list[int], query: Query, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"labels.{ending}"
    formula = '=HYPERLINK("http://x")'
    assert run("label", "--feature", f"{NAME}:{live[0]}", "--name", formula, "--explanation", "'-'").code == 0
    out = run("labels", "export", file)
    assert out.code == 0 and f"{len(live)} labels" in out.err
    if ending == "csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(file.open()))
        # No spreadsheet takes it for a formula.
        assert rows[0]["name"] == "'" + formula and rows[0]["explanation"] == "''-'"
    else:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert list(rows[0]) == ["feature", "name", "explanation", "confidence", "labeler"]
    assert [row["feature"] for row in rows] == [f"{NAME}:{latent}" for latent in live]
    assert rows[0]["labeler"] == "human" and len({row["labeler"] for row in rows[1:]}) == 1
    assert rows[1]["labeler"].startswith("clip@shapes-clip@")
    before = query(workspace, "SELECT count(*) FROM labels")
    # As it is, it says nothing new.
    same = run("labels", "import", file)
    assert same.code == 0 and f"{len(live)} are there already" in same.err
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
        assert done.code == 0 and done.out == (f"{NAME}: 2 labels taken, of {ending}\n" if taken else ""), done.err
    assert human(query, workspace)[1:] == [(live[1], "anna", "changed by hand", rows[1]["explanation"], pytest.approx(
        float(rows[1]["confidence"])))]  # fmt: skip
    listed = json.loads(run("labels", "list", "--json").out)
    assert [(x["labeler"], x["labels"], x["counting"]) for x in listed][1:] == [
        ("human", 1, 1),
        ("human@anna", 1, 1),
        ("vlm@far", 1, 1),
    ]
    clip = listed[0]
    assert clip["labels"] == len(live) and clip["counting"] == len(live) - 3 and 0.5 < clip["scores"]["embedding"] <= 1
    assert clip["labeler"] in run("labels", "list").out


def test_one_labelers_labels_are_searched_exported_and_evaluated(run: Cli, live: list[int], tmp_path: Path) -> None:
    for latent in live[:2]:
        assert run("label", "--feature", f"{NAME}:{latent}", "--name", "zebra crossing").code == 0
    clip_name = shown(run, live[0], "--labeler", "clip")["label"]["name"]
    for route in ("words", "labels"):
        mine = json.loads(run("search", "zebra", "--route", route, "--labeler", "human", "--json").out)
        assert {hit["feature"] for hit in mine} == {f"{NAME}:{latent}" for latent in live[:2]}, route
        theirs = json.loads(run("search", clip_name, "--route", route, "--labeler", "clip", "-n", 100, "--json").out)
        found = {hit["feature"]: hit["name"] for hit in theirs}
        assert found[f"{NAME}:{live[0]}"] == clip_name and "zebra crossing" not in found.values(), route
    assert json.loads(run("search", "zebra", "--labeler", "clip", "--route", "words", "--json").out) == []

    def exported(*more: object) -> dict[int, str]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert run("export", "--layer", "mid", "-o", out, "--format", "jsonl", *more).code == 0
        rows = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
        return {row["index"]: row["name"] for row in rows if row["status"] == "ok"}

    assert exported()[live[0]] == "zebra crossing" and set(exported()) == set(live)
    assert exported("--labeler", "human") == dict.fromkeys(live[:2], "zebra crossing")
    assert exported("--labeler", "clip")[live[0]] == clip_name

    # Measured once; the labels are held against that whoever's they are.
    evaluated = [
        run("evaluate", "--layer", "mid", "--json", *by) for by in ((), ("--labeler", "hum"), ("--labeler", "clip"))
    ]
    assert [json.loads(done.out)["labeled"] for done in evaluated] == [len(live), 2, len(live)]
    assert "evaluate" in evaluated[0].err and "evaluate" not in evaluated[1].err + evaluated[2].err
    # No truth is about zebras.
    assert json.loads(evaluated[1].out)["label_accuracy"] in (0.0, None)


def test_an_unknown_labeler_is_one_line(run: Cli, live: list[int]) -> None:
    assert run("label", "--feature", f"{NAME}:{live[0]}", "--name", "x", "--by", "anna").code == 0
    assert run("label", "--feature", f"{NAME}:{live[0]}", "--name", "x", "--by", "ben").code == 0
    for command in (("search", "x"), ("show", f"{NAME}:{live[0]}"), ("evaluate", "--layer", "mid")):
        done = run(*command, "--labeler", "clpi")
        assert done.code == 2 and "did you mean 'clip'" in done.err and done.err.count("\n") == 1, done.err
    several = run("show", f"{NAME}:{live[0]}", "--labeler", "human@")
    assert several.code == 2 and "human@anna, human@ben" in several.err
    assert shown(run, live[0], "--labeler", "human@b")["labels"][-1]["counts"]
    assert shown(run, live[0], "--labeler", "human")["labels"][-1]["counts"]


def test_labels_of_another_tool_are_a_labeler_of_its_name(
    run: Cli, workspace: Path, live: list[int], query: Query, tmp_path: Path
) -> None:
    hookpoint = query(workspace, "SELECT hookpoint FROM dictionaries")[0][0]
    folder = tmp_path / "explanations"
    folder.mkdir()
    for layer, latent, text in ((hookpoint, live[0], "Fires on red."), ("layers.3", live[1], "Of another layer.")):
        (folder / f"{layer}_latent{latent}.txt").write_text(json.dumps(text))
    bare = run("labels", "import", tmp_path)
    assert bare.code == 2 and "--dictionary NAME" in bare.err
    for taken in (1, 0):
        done = run("labels", "import", tmp_path, "--dictionary", NAME)
        assert done.code == 0 and done.out == (f"{NAME}: 1 labels taken, of delphi\n" if taken else ""), done.err
    assert not human(query, workspace)
    # A new run of the tool is the same labeler's new word.
    (folder / f"{hookpoint}_latent{live[0]}.txt").write_text(json.dumps("Fires on circles."))
    assert run("labels", "import", tmp_path, "--dictionary", NAME).code == 0
    said = {one["labeler"]: one["name"] for one in shown(run, live[0])["labels"]}
    assert said["delphi"] == "Fires on circles" and len(said) == 2
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    for layer in ("layers.3", "layers.4"):
        (elsewhere / f"{layer}_latent1.txt").write_text('"x"')
    done = run("labels", "import", elsewhere, "--dictionary", NAME)
    assert done.code == 2 and "layers.3, layers.4" in done.err
