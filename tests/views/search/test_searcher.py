"""Search over a labeled workspace: all routes fused, and indexes that are brought up to date."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from sqlalchemy import delete, select, update

from autointerp.db import DatabaseError, queries
from autointerp.db.models import Crop, DictionaryRow, Feature, Image, IndexKind, Label
from autointerp.db.queries.labelers import LabelerKey
from autointerp.db.queries.scores import ScoreFloor
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.search.index_file import read_index
from autointerp.stages.index.opening import fresh_indexes, index_path, open_index
from autointerp.views.search.hits import Hit
from autointerp.views.search.question import SearchQuestion
from autointerp.views.search.scope import SearchFilters
from autointerp.views.search.searcher import Searcher

from ..conftest import Notes
from .indexes import Plane

Cli = Callable[..., Any]
NAME = "shapes-turbo.mid.topk"


@pytest.fixture
def ctx(workspace: Path, small_parts: None) -> Context:
    return Context(WorkspaceFolder(workspace), Notes())


def run_search(ctx: Context, *asked: Any, **options: Any) -> list[Hit]:
    """What a new searcher finds, as the command and `Workspace.search` ask it."""
    return Searcher(ctx, fresh_indexes(ctx)).find(*asked, **options)


def names(hits: list[Hit]) -> list[str]:
    return [hit.feature for hit in hits]


def ids(hits: list[Hit]) -> list[int]:
    return [hit.feature_id for hit in hits]


def a_label(ctx: Context) -> tuple[int, str]:
    """A labeled feature's id, and its name."""
    with ctx.db.session() as session:
        row = session.execute(select(Label.feature_id, Label.name).where(Label.status == "ok").limit(1)).one()
        return row[0], row[1]


def test_what_is_shown_of_a_hit(ctx: Context) -> None:
    feature, name = a_label(ctx)
    hit = next(h for h in run_search(ctx, name, count=64) if h.feature_id == feature)
    assert set(hit.as_dict()) == {
        *("feature", "name", "explanation", "score", "similarity", "density", "prompt", "ranks")
    }
    assert hit.name == name
    assert {"words", "labels"} <= set(hit.ranks)
    assert hit.density > 0
    with ctx.db.session() as session:
        best = select(Image.prompt).join(Crop).where(Crop.feature_id == feature).order_by(Crop.activation.desc())
        assert hit.prompt == session.scalar(best.limit(1))


def test_a_feature_without_a_label_is_found_by_its_crops_and_its_prompts(ctx: Context) -> None:
    feature, name = a_label(ctx)
    with ctx.db.session() as session:
        session.execute(delete(Label).where(Label.feature_id == feature))
        images = select(Crop.image_id).where(Crop.feature_id == feature, Crop.role == "top")
        session.execute(update(Image).where(Image.id.in_(images)).values(prompt="an unheard giraffe"))
        # Prompts are taken as they are when crops are written.
        session.execute(update(Crop).where(Crop.feature_id == feature, Crop.role == "top").values(rank=Crop.rank))
    found = run_search(ctx, "giraffe", routes=("words",), count=64)
    assert feature in ids(found)
    assert next(h for h in found if h.feature_id == feature).name == ""
    assert feature in ids(run_search(ctx, name, routes=("crops",), count=64))
    assert feature not in ids(run_search(ctx, name, routes=("labels",), count=64))
    # What is labeled is found by its label, as long as any label holds the words.
    both = run_search(ctx, f"giraffe {name}", routes=("words",), count=64)
    assert ids(both).count(feature) == 1
    # Behind all that a label's words find, however many they are.
    by_prompts = [set(hit.ranks) == {"prompts"} for hit in both]
    assert by_prompts[ids(both).index(feature)]
    assert by_prompts == sorted(by_prompts)
    with ctx.db.session() as session:
        labeler = queries.labelers.ensure(session, LabelerKey("prompts"))
        session.add(Label(feature_id=feature, labeler_id=labeler.id, status="ok", name="nothing", confidence=0.1))
    assert feature not in ids(run_search(ctx, f"giraffe {name}", routes=("words",), count=64))


def test_what_is_like_a_feature(ctx: Context) -> None:
    feature, _ = a_label(ctx)
    with ctx.db.session() as session:
        own = session.get(Feature, feature)
        question = SearchQuestion(like=f"{NAME}:{own.latent_index}")
    every = run_search(ctx, question, count=64)
    assert feature not in ids(every)
    assert {route for hit in every for route in hit.ranks} == {*("words", "prompts", "labels", "crops", "decoder")}
    # By hand: the directions of the dictionary.
    from autointerp.dictionaries.storage import load_dictionary

    directions = load_dictionary(ctx.workspace.dictionary_dir(NAME)).directions.numpy()
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    near = directions @ directions[own.latent_index]
    found = run_search(ctx, question, routes=("decoder",), count=3)
    assert [h.similarity for h in found] == [pytest.approx(near[int(n.split(":")[1])], abs=1e-4) for n in names(found)]
    with ctx.db.session() as session:
        alive = [
            f.latent_index for f in queries.features.of_dictionary(session, own.dictionary_id) if f.state != "dead"
        ]
    expected = sorted((i for i in alive if i != own.latent_index), key=lambda i: -near[i])[:3]
    assert names(found) == [f"{NAME}:{i}" for i in expected]
    with pytest.raises(UsageError, match="compares features"):
        run_search(ctx, "red", routes=("decoder",))
    with pytest.raises(UsageError, match="no feature"):
        run_search(ctx, SearchQuestion(like=f"{NAME}:9999"))


def test_what_fits_a_picture(ctx: Context, tmp_path: Path) -> None:
    from PIL import Image as Picture

    Picture.new("RGB", (60, 40), (214, 40, 40)).save(tmp_path / "red.png")
    found = run_search(ctx, SearchQuestion(image=tmp_path / "red.png"), count=5)
    assert found
    assert {route for hit in found for route in hit.ranks} <= {"labels", "crops"}
    assert ctx.progress.said == ["loading the embedder shapes-clip"]  # type: ignore[attr-defined]
    # Turned as a camera says, and on white where nothing is.
    halves = Picture.new("RGB", (40, 60), (214, 40, 40))
    halves.paste((40, 60, 214), (0, 30, 40, 60))
    halves.save(tmp_path / "turned.png")
    exif = Picture.Exif()
    exif[0x0112] = 6
    halves.rotate(90, expand=True).save(tmp_path / "lying.png", exif=exif)
    asked = [SearchQuestion(image=tmp_path / name) for name in ("turned.png", "lying.png")]
    assert run_search(ctx, asked[0], count=9) == run_search(ctx, asked[1], count=9)
    with pytest.raises(UsageError, match="count is 0"):
        run_search(ctx, "red", count=0)
    with pytest.raises(UsageError, match="no words"):
        run_search(ctx, SearchQuestion(image=tmp_path / "red.png"), routes=("words",))
    (tmp_path / "text.png").write_text("no picture")
    for bad in ("text.png", "nowhere.png", "."):
        with pytest.raises(AutointerpError, match="cannot read"):
            run_search(ctx, SearchQuestion(image=tmp_path / bad))


def test_filters(ctx: Context) -> None:
    text = "red blue green striped circle"
    everything = run_search(ctx, text, count=64)
    with ctx.db.session() as session:
        densities = dict(session.execute(select(Feature.id, Feature.density)).all())
        low, high = sorted(densities[i] for i in ids(everything))[3:9:5]
        session.execute(update(Feature).where(Feature.id.in_(ids(everything)[:2])).values(state="dense"))
        session.execute(update(Feature).where(Feature.id == ids(everything)[2]).values(steps={"0": 0.9, "1": 0.1}))
        session.execute(update(Feature).where(Feature.id == ids(everything)[3]).values(steps={}))

    def left(**filters: Any) -> set[int]:
        return set(ids(run_search(ctx, text, SearchFilters(**filters), count=64)))

    assert left(density=(low, high)) == {i for i in densities if low <= densities[i] <= high and densities[i] > 0}
    assert left(state="dense") == set(ids(everything)[:2])
    assert left(step=0) == {ids(everything)[2]}
    assert ids(everything)[3] not in left(step=1)
    assert left(step=7) == set()
    assert left(dictionary=NAME, layer="mid") == left(layer="mid") == set(ids(run_search(ctx, text, count=64)))
    scored = left(min_score=ScoreFloor(0.7))
    assert scored
    assert scored == {h.feature_id for h in run_search(ctx, text, count=64) if (h.score or 0) >= 0.7}
    for wrong in ({"dictionary": "shapes-turbo.mid.tpk"}, {"dictionary": NAME, "layer": "late"}, {"labeler": "vlm"}):
        with pytest.raises(UsageError):
            left(**wrong)
    with pytest.raises(UsageError, match="known: live, dead, dense"):
        SearchFilters(state="alive")


def test_a_labeler_searches_by_its_own_names(ctx: Context) -> None:
    feature, name = a_label(ctx)
    with ctx.db.session() as session:
        labeler = queries.labelers.ensure(session, LabelerKey("prompts"))
        session.add(Label(feature_id=feature, labeler_id=labeler.id, status="ok", name="heliotrope zeppelin"))
    (hit,) = run_search(ctx, "zeppelin", SearchFilters(labeler="prompts"), count=64)
    assert (hit.feature_id, hit.name) == (feature, "heliotrope zeppelin")
    assert hit.ranks["labels"] == 1
    theirs = run_search(ctx, name, SearchFilters(labeler="clip"), count=64)
    assert next(h for h in theirs if h.feature_id == feature).name == name
    # Without a filter, the label that is shown is the one that is searched.
    for route in ("words", "labels"):
        for hit in run_search(ctx, f"{name} zeppelin", routes=(route,), count=64):
            assert hit.feature_id != feature or hit.name == "heliotrope zeppelin"


def test_labels_that_came_are_found_and_those_that_went_are_not(ctx: Context) -> None:
    feature, name = a_label(ctx)
    searcher = Searcher(ctx, fresh_indexes(ctx))
    with ctx.db.session() as session:
        row = session.get_one(DictionaryRow, 1)
        session.expunge(row)
        path = index_path(ctx, row, "labels")
        before = path.read_bytes()
        for label in session.scalars(select(Label).where(Label.feature_id == feature)):
            label.name = "striped purple ring"
    asked: list[list[str]] = []
    embed = ctx.embedder.embed_texts

    def noted(texts: Any) -> np.ndarray:
        asked.append(list(texts))
        return embed(texts)

    ctx.embedder.embed_texts = noted  # type: ignore[method-assign]
    try:
        found = searcher.find("striped purple ring", routes=("labels",), count=1)
    finally:
        del ctx.embedder.embed_texts  # type: ignore[attr-defined]
    assert ids(found) == [feature]
    assert found[0].similarity == pytest.approx(1, abs=1e-3)
    assert asked == [["striped purple ring"], ["striped purple ring"]]  # the question, and the one new name
    assert path.read_bytes() != before
    assert ctx.progress.said == ["loading the embedder shapes-clip"]  # type: ignore[attr-defined]
    assert open_index(ctx, row, "labels").fingerprint == read_index(path).fingerprint


@pytest.mark.parametrize("kind", get_args(IndexKind))
def test_an_index_that_is_not_its_own_is_built_again_with_a_note(ctx: Context, kind: IndexKind) -> None:
    with ctx.db.session() as session:
        row = session.get_one(DictionaryRow, 1)
        session.expunge(row)
    path = index_path(ctx, row, kind)
    whole = path.read_bytes()
    ctx.embedder.embed_texts(["red"])
    ctx.progress.said.clear()  # type: ignore[attr-defined]
    others: list[IndexKind] = [k for k in get_args(IndexKind) if k != kind]
    for content in (whole[: len(whole) // 2], *(index_path(ctx, row, k).read_bytes() for k in others)):
        path.write_bytes(content)
        index = open_index(ctx, row, kind)
        assert path.read_bytes() == whole
        assert len(index) == len(read_index(path))
        assert len(ctx.progress.said) == 1  # type: ignore[attr-defined]
        assert "built again" in ctx.progress.said.pop()  # type: ignore[attr-defined]


def test_what_cannot_be_written_is_kept_in_memory(ctx: Context, workspace: Path) -> None:
    feature, name = a_label(ctx)
    for path in (workspace / "indexes").iterdir():
        path.unlink()
    (workspace / "indexes").rmdir()
    (workspace / "indexes").write_text("a file where a folder should be")
    assert feature in ids(run_search(ctx, name, routes=("labels",), count=64))
    assert any("is not kept" in said for said in ctx.progress.said)  # type: ignore[attr-defined]
    with ctx.db.session() as session:
        row = session.get_one(DictionaryRow, 1)
        session.expunge(row)
    with pytest.raises(AutointerpError, match="cannot write"):
        open_index(ctx, row, "labels")


def test_without_an_embedder_words_are_found_and_the_rest_is_said(cli: Cli, workspace: Path) -> None:
    settings = workspace / "autointerp.toml"
    settings.write_text(f'embedder = "{workspace / "nowhere"}"\n' + settings.read_text())
    done = cli("-w", workspace, "search", "red blue green circle", "--json")
    assert done.code == 0
    assert json.loads(done.out)
    assert "without the routes labels and crops" in done.err
    loading, _ = done.err.splitlines()
    assert loading == f"loading the embedder {workspace / 'nowhere'}"
    assert cli("-w", workspace, "search", "red", "--route", "crops").code == 1


def loaded_by(*command: object) -> tuple[str, set[str]]:
    """Run a command in a process of its own; return what it printed, and the libraries that it imported."""
    code = "import sys\nfrom autointerp.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
    code += "print()\nprint(*{name.split('.')[0] for name in sys.modules})"
    arguments = [sys.executable, "-c", code, *map(str, command)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    out, _, names = done.stdout.rstrip("\n").rpartition("\n")
    return out.strip(), set(names.split())


def test_a_question_asked_before_loads_no_torch(labeled: Path, tmp_path: Path) -> None:
    shutil.copytree(labeled, tmp_path / "w")
    command = ("-w", tmp_path / "w", "search", "red striped circle", "--json")
    first, imported = loaded_by(*command)
    assert "torch" in imported
    assert not imported & {"transformers", "diffusers", "alembic"}
    again, imported = loaded_by(*command)
    assert again == first
    assert {"crops", "labels"} & set(json.loads(first)[0]["ranks"])
    assert "faiss" in imported
    assert not imported & {"torch", "transformers", "diffusers", "alembic"}
    other, imported = loaded_by(*command[:3], "blue ring", "--json")
    assert other != first
    assert "torch" in imported


def test_questions_that_cannot_be_kept_are_answered(labeled: Path, tmp_path: Path) -> None:
    shutil.copytree(labeled, tmp_path / "w")
    (tmp_path / "w" / "indexes" / "questions.txt").unlink(missing_ok=True)
    (tmp_path / "w" / "indexes" / "questions.txt").mkdir()  # what cannot be written, whatever rights there are
    assert json.loads(loaded_by("-w", tmp_path / "w", "search", "red circle", "--json")[0])


def test_the_words_route_loads_neither_torch_nor_faiss(labeled: Path) -> None:
    code = "import sys\nfrom autointerp.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
    code += "print(sorted({'torch', 'faiss', 'transformers', 'diffusers', 'alembic'} & set(sys.modules)))"
    command = ["-w", str(labeled), "search", "circle edge red", "--route", "words", "--layer", "mid", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    found, _, loaded = done.stdout.rpartition("]\n[")
    assert json.loads(found + "]")
    assert loaded.strip() == "]"


def test_the_command(cli: Cli, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    opened: list[str] = []

    def launch(path: str) -> int:
        opened.append(path)
        return 1

    monkeypatch.setattr(click, "launch", launch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = cli("-w", workspace, "search", "circle", "-n", "3", "--density", ":0.9", "--open")
    assert done.code == 0
    assert "no program here opens it" in done.err
    head, *rows = done.out.splitlines()
    assert head.split()[:4] == ["feature", "name", "score", "density"]
    assert "best prompt" in head
    assert len(rows) == 3
    from PIL import Image as Picture

    with Picture.open(opened[0]) as sheet:
        assert sheet.size[0] > 600
        assert Path(opened[0]).parent == tmp_path
    for wrong in (["--density", "0.5"], ["--density", "0.5:0.1"], ["--density", "a:b"], ["--density", ":2"]):
        assert cli("-w", workspace, "search", "circle", *wrong).code == 2
    for asked in ([], ["red", "--like", f"{NAME}:1"], ["--image", "x.png", "--like", f"{NAME}:1"]):
        assert cli("-w", workspace, "search", *asked).code == 2


def test_what_is_wrong_is_noted_once_and_a_fault_of_the_database_passes(small: Context) -> None:
    def broken(dictionary: DictionaryRow, kind: str) -> Any:
        raise AutointerpError(f"no {kind}", "install it") if kind == "crops" else DatabaseError("the disk is full")

    searcher = Searcher(small, broken)
    small.embedder = small.text_embedder = Plane()
    for _ in range(2):
        assert ids(searcher.find("red", routes=("words", "crops"))) == [1]
    assert small.progress.said == ["without the route crops: no crops: install it"]  # type: ignore[attr-defined]
    with pytest.raises(AutointerpError, match="no crops"):
        searcher.find("red", routes=("crops",))
    with pytest.raises(DatabaseError, match="the disk is full"):
        searcher.find("red", routes=("words", "labels"))
