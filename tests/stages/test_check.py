"""`db check`: each kind of damage is planted, and seen in one line that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from autointerp.crops.maps import encode_map
from autointerp.search.indexes import read_index, write_index
from autointerp.stages import check
from autointerp.stages.check import run_check
from autointerp.stages.context import Context
from autointerp.workspace import Workspace

NAME = "shapes.mid.topk"
TOP = "(SELECT min(id) FROM crops WHERE role = 'top')"
NEGATIVE = "(SELECT min(id) FROM crops WHERE role = 'negative')"
IMAGE = "(SELECT min(id) FROM images)"
LABEL = "(SELECT min(id) FROM labels WHERE status = 'ok')"
HARVEST = "(SELECT min(id) FROM runs WHERE kind = 'harvest')"

DAMAGE = {
    "picture": (f"UPDATE images SET picture = :bytes WHERE id = {IMAGE}", "the picture of image 1 does not decode"),
    "size": (f"UPDATE images SET width = 9 WHERE id = {IMAGE}", "the picture of image 1 is "),
    "prompt": (f"UPDATE images SET prompt_hash = 'x' WHERE id = {IMAGE}", "the prompt_hash of image 1 is not"),
    "seed": (f"UPDATE images SET seed = 12345 WHERE id = {IMAGE}", "the generation_hash of image 1 is not"),
    "orphan": (f"DELETE FROM crops WHERE image_id = {IMAGE}", "image 1 is in no crop"),
    "box": (f"UPDATE crops SET box_right = 999 WHERE id = {TOP}", "has a box outside of its "),
    "empty box": (f"UPDATE crops SET box_right = box_left WHERE id = {TOP}", "has a box outside of its "),
    "split": (
        f"UPDATE crops SET split = CASE split WHEN 'score' THEN 'explain' ELSE 'score' END WHERE id = {TOP}",
        "and its prompt of the other",
    ),
    "negative that fires": (
        f"UPDATE crops SET activation = 0.5 WHERE id = {NEGATIVE}",
        "a negative with activation 0.5",
    ),
    "negative with a cell": (f"UPDATE crops SET col = 1 WHERE id = {NEGATIVE}", "a negative that is not a whole image"),
    "no step": (f"UPDATE crops SET step = NULL WHERE id = {TOP}", "lacks its step, cell or activation map"),
    "silent": (f"UPDATE crops SET activation = 0 WHERE id = {TOP}", "has activation 0"),
    "cell": (f'UPDATE crops SET "row" = 12 WHERE id = {TOP}', "lies at cell 12, "),
    "map": (f"UPDATE crops SET activation_map = :bytes WHERE id = {TOP}", "has an activation map that does not decode"),
    "map's grid": (f"UPDATE crops SET activation_map = :map WHERE id = {TOP}", "an activation map of 12 x 24 cells"),
    "map's maximum": (f"UPDATE crops SET activation = activation * 2 WHERE id = {TOP}", "whose maximum is not its"),
    "rank": (f"UPDATE crops SET rank = 77 WHERE id = {TOP}", "top, have gaps or doubles"),
    "feature": ("DELETE FROM features WHERE latent_index = 63", f"{NAME} has 63 features from 0 to 62, and 64 latents"),
    "label": (f"UPDATE labels SET name = '' WHERE id = {LABEL}", "is ok, with the name ''"),
    "score": (
        "UPDATE scores SET value = ci_high + 1 WHERE id = (SELECT min(id) FROM scores WHERE value IS NOT NULL)",
        "outside of its interval",
    ),
    "labeler": ("UPDATE labelers SET config = '{}' WHERE kind = 'clip'", "the config_hash of labeler 1 is not"),
    "run": (f"UPDATE runs SET done = 3 WHERE id = {HARVEST}", "(harvest) is done at 3 of 40"),
    "checkpoint": (
        "INSERT INTO checkpoints (run_id, name, part, dtype, shape, data)"
        f" VALUES ({HARVEST}, 'counts', 0, '<i8', '[2]', :bytes)",
        "(harvest) does not load",
    ),
    "neighbour": (f"UPDATE crops SET neighbour = 3 WHERE id = {TOP}", "has the neighbour 3, and is no negative"),
    "identity": (f"UPDATE runs SET identity = 'x' WHERE id = {HARVEST}", "(harvest) is not that of its weights"),
    "index row": ("UPDATE indexes SET content_hash = 'x' WHERE kind = 'crops'", f"index {NAME}.crops is stale"),
    "stale crops": (f"DELETE FROM crops WHERE id = {TOP}", f"index {NAME}.crops is stale"),
    "stale labels": (f"UPDATE labels SET name = 'another' WHERE id = {LABEL}", f"index {NAME}.labels is stale"),
}


@pytest.fixture
def ctx(workspace: Path) -> Any:
    opened = Workspace(workspace)
    yield Context(opened)
    opened.close()


def test_a_sound_workspace_has_no_problems(ctx: Any, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_check(ctx) == []
    # Rows are streamed in parts: their size changes nothing.
    monkeypatch.setattr(check, "_ROWS", 7)
    monkeypatch.setattr(check, "_PICTURES", 3)
    assert run_check(ctx) == []
    done = cli("-w", ctx.workspace.path, "db", "check")
    assert (done.code, done.out) == (0, "") and done.err.splitlines()[-1] == "the workspace is whole"


def test_each_kind_of_damage_is_seen(ctx: Any) -> None:
    values = {"bytes": b"\x00\x01nothing", "map": encode_map(np.ones((12, 24), np.float32))}
    with ctx.db.session() as session:
        # The checks look at the rows that a session sees, so nothing has to be made anew for the next one.
        connection = session.connection()
        for kind, (statement, line) in DAMAGE.items():
            point = connection.begin_nested()
            given = {name: value for name, value in values.items() if f":{name}" in statement}
            assert connection.execute(text(statement), given).rowcount > 0, kind
            found = seen_by(ctx, session)
            assert any(line in problem for problem in found), (kind, found)
            assert all("\n" not in problem and len(problem) < 250 for problem in found)
            point.rollback()
    assert run_check(ctx) == []


def seen_by(ctx: Any, session: Any) -> list[str]:
    """What the checks say of the rows as one open session sees them."""
    from contextlib import contextmanager

    class Seen:
        is_sqlite, revision, head = ctx.db.is_sqlite, ctx.db.revision, ctx.db.head

        @contextmanager
        def session(self) -> Any:
            yield session
            session.expire_all()

        def check(self) -> list[str]:
            from autointerp.db.check import find_problems

            return find_problems(self)  # type: ignore[arg-type]

    other = Context(ctx.workspace)
    ctx.workspace.__dict__["db"], own = Seen(), ctx.workspace.__dict__["db"]
    try:
        return run_check(other)
    finally:
        ctx.workspace.__dict__["db"] = own


def test_files_that_changed_are_seen(ctx: Any, cli: Callable[..., Any]) -> None:
    path: Path = ctx.workspace.path
    weights = path / "dictionaries" / NAME / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run_check(ctx) == [f"the weights of {NAME} in {weights} are not those it was made with"]
    weights.unlink()
    assert run_check(ctx) == [f"the weights of {NAME} cannot be read: {weights} (No such file or directory)"]
    weights.write_bytes(whole)

    index = path / "indexes" / f"{NAME}.crops.faiss"
    kept = index.read_bytes()
    for content in (kept[:100], kept[:-1] + bytes([kept[-1] ^ 1]), None):
        index.unlink()
        if content is not None:
            index.write_bytes(content)
        (problem,) = run_check(ctx)
        assert problem.startswith(f"index {NAME}.crops: ") and "`autointerp label --layer mid --dictionary" in problem
        index.write_bytes(kept)
    found = read_index(index)
    found.fingerprint = "another harvest"
    write_index(found, index)
    done = cli("-w", path, "-q", "db", "check")
    assert done.code == 1 and "1 problems found" in done.err
    assert done.out.startswith(f"index {NAME}.crops is stale; `autointerp label --layer mid --dictionary {NAME}`")
    # What it says mends it.
    assert cli("-w", path, "-q", "label", "--layer", "mid", "--dictionary", NAME).code == 0
    assert run_check(ctx) == []


@pytest.mark.parametrize("line", ['model = "/nowhere/model"', 'prompts = "nowhere.txt"'])
def test_what_is_not_on_this_machine_is_left_out(workspace: Path, cli: Callable[..., Any], line: str) -> None:
    """A workspace that was moved without its model or its prompts is checked all the same."""
    settings = workspace / "autointerp.toml"
    settings.write_text(f"{line}\n{settings.read_text()}")
    done = cli("-w", workspace, "db", "check")
    assert done.code == 0 and "hashes of images are not looked at: there is no" in done.err


def test_many_lines_of_one_kind_are_cut(ctx: Any) -> None:
    with ctx.db.session() as session:
        session.execute(text("UPDATE crops SET box_right = 999"))
    found = run_check(ctx)
    assert sum(problem.startswith("crop ") for problem in found) == 20


def test_images_of_an_unfinished_harvest_are_no_orphans(ctx: Any) -> None:
    with ctx.db.session() as session:
        session.execute(text("DELETE FROM crops"))
        session.execute(text("UPDATE runs SET status = 'interrupted', done = 16 WHERE kind = 'harvest'"))
    assert not [problem for problem in run_check(ctx) if "is in no crop" in problem]
