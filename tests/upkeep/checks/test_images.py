"""Damaged images are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from autointerp.project.context import Context
from autointerp.upkeep.check import run_check
from autointerp.upkeep.checks.images import check_generation, check_pictures, check_use

from ..damage import IMAGE, assert_each_is_seen

DAMAGE = {
    "picture": (f"UPDATE images SET picture = :bytes WHERE id = {IMAGE}", "the picture of image 1 does not decode"),
    "size": (f"UPDATE images SET width = 9 WHERE id = {IMAGE}", "the picture of image 1 is "),
    "prompt": (f"UPDATE images SET prompt_hash = 'x' WHERE id = {IMAGE}", "the prompt_hash of image 1 is not"),
    "seed": (f"UPDATE images SET seed = 12345 WHERE id = {IMAGE}", "the generation_hash of image 1 is not"),
    "orphan": (
        "INSERT INTO images (id, image_index, prompt, prompt_hash, seed, generation_hash, width, height, picture)"
        f" SELECT 9999, 0, prompt, prompt_hash, seed, 'x', width, height, picture FROM images WHERE id = {IMAGE}",
        "image 9999 is in no crop, and has no random cell",
    ),
}


def test_each_kind_of_damage_is_named(ctx: Context) -> None:
    assert_each_is_seen(ctx, DAMAGE, check_pictures, check_use, check_generation)


@pytest.mark.parametrize("line", ['model = "/nowhere/model"', 'prompts = "nowhere.txt"'])
def test_what_is_not_on_this_machine_is_left_out(workspace: Path, cli: Callable[..., Any], line: str) -> None:
    """A workspace that was moved without its model or its prompts is checked all the same."""
    settings = workspace / "autointerp.toml"
    others = settings.read_text().replace('model = "shapes-turbo"\n', "") if "model" in line else settings.read_text()
    settings.write_text(f"{line}\n{others}")
    done = cli("-w", workspace, "db", "check")
    assert done.code == 0
    assert "hashes of images are not looked at: there is no" in done.err


def test_images_of_an_unfinished_harvest_are_no_orphans(ctx: Any) -> None:
    with ctx.db.session() as session:
        session.execute(text("DELETE FROM crops"))
        session.execute(text("DELETE FROM cells"))
        session.execute(text("UPDATE runs SET status = 'interrupted', done = 16 WHERE kind = 'harvest'"))
    assert not [problem for problem in run_check(ctx) if "is in no crop" in problem]
