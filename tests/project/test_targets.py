"""What `--layer`, `--dictionary` and `DICTIONARY:INDEX` mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.project.targets import Target, find_dictionary, find_feature, resolve_target, resolve_targets
from autointerp.project.workspace import WorkspaceFolder

NAME = "shapes-turbo.mid.topk"


@pytest.fixture(scope="module")
def ctx(labeled: Path) -> Iterator[Context]:
    workspace = WorkspaceFolder(labeled)
    yield Context(workspace)
    workspace.close()


def test_the_settings_may_name_a_layers_dictionary(ctx: Context) -> None:
    assert resolve_target(ctx, "mid") == Target("mid", None)
    named = Context(ctx.workspace, dictionary={"names": {"mid": "mine"}})
    assert resolve_target(named, "mid") == Target("mid", "mine")
    assert resolve_target(named, "mid", "given") == Target("mid", "given")
    assert resolve_target(named, "late") == Target("late", None)


def test_each_layer_and_each_dictionary_counts_once(ctx: Context) -> None:
    assert resolve_targets(ctx, ["mid", "early", "mid"]) == [Target("mid"), Target("early")]
    hookpoint = ctx.layer("mid").hookpoint
    assert resolve_targets(ctx, [hookpoint], [NAME, NAME]) == [Target(hookpoint, NAME)]


def test_a_dictionary_of_another_layer_is_refused(ctx: Context) -> None:
    with pytest.raises(UsageError, match="belongs to layer mid, not late"):
        resolve_targets(ctx, ["late"], [NAME])
    with pytest.raises(UsageError, match="no dictionary 'x'"):
        resolve_targets(ctx, ["mid"], ["x"])


def test_the_stored_dictionary_of_a_target(ctx: Context) -> None:
    assert find_dictionary(ctx, Target("mid")).name == NAME
    assert find_dictionary(ctx, Target("mid", NAME)).name == NAME
    with pytest.raises(AutointerpError, match="autointerp label --layer late"):
        find_dictionary(ctx, Target("late"))


def test_a_feature_is_a_dictionary_and_a_number(ctx: Context) -> None:
    row, feature = find_feature(ctx, f"{NAME}:17")
    assert (row.name, feature.latent_index, feature.dictionary_id) == (NAME, 17, row.id)
    for wrong, said in (
        ("17", "DICTIONARY:INDEX"),
        (f"{NAME}:", "DICTIONARY:INDEX"),
        (f"{NAME}:-1", "DICTIONARY:INDEX"),
        (f"{NAME}:64", "features go from 0 to 63"),
        ("x:1", "no dictionary 'x'"),
    ):
        with pytest.raises(UsageError) as raised:
            find_feature(ctx, wrong)
        assert said in str(raised.value)
