"""One command's frame: settings of the command win, paths start at the workspace, and a name means one dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autointerp.db import DatabaseError, models
from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context, identity
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder
from autointerp.search import embedders

NAME = "shapes-turbo.mid.topk"


def make(path, **settings):
    return WorkspaceFolder.create(path / "w", Settings(**settings))


def test_identity_is_that_of_the_content():
    assert identity({"a": 1, "b": [2]}) == identity({"b": [2], "a": 1})
    assert identity({"a": 1}) != identity({"a": 2})
    # Stored results are found by it: it must never change.
    assert identity({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_settings_of_the_command_win_for_it_alone(tmp_path):
    workspace = make(tmp_path, images=7)
    assert Context(workspace, images=3).settings.images == 3
    assert Context(workspace).settings.images == 7


def test_a_fresh_workspace_reads_few_steps_and_an_older_one_what_it_read(tmp_path):
    fresh = Context(make(tmp_path))
    assert (fresh.description.name, fresh.generation.steps, fresh.capture_steps) == ("shapes-turbo", 4, (3,))
    assert fresh.generation.guidance == 1.0
    assert Context(fresh.workspace, steps=2).capture_steps == (1,)
    older = tmp_path / "older"
    older.mkdir()
    (older / "autointerp.toml").write_text("images = 7\n")
    ctx = Context(WorkspaceFolder(older))
    assert (ctx.description.name, ctx.generation.steps, ctx.capture_steps) == ("shapes", 8, (7,))
    assert ctx.generation.guidance == 2.5


def test_a_models_folder_starts_at_the_workspace(tmp_path):
    workspace = make(tmp_path, model="mine")
    assert Context(workspace).settings.model == "mine"
    (workspace.path / "mine").mkdir()
    assert Context(workspace).settings.model == str((workspace.path / "mine").absolute())


def test_models_that_only_read_run_where_the_settings_device_is_missing(tmp_path, monkeypatch):
    """A workspace of a GPU machine can be searched on a laptop."""
    from autointerp.diffusion import devices

    assert Context(make(tmp_path, device="cpu")).here == "cpu"
    monkeypatch.setattr(devices, "devices_of", lambda kind: ["cpu"] if kind == "cpu" else [])
    assert Context(make(tmp_path / "other", device="cuda:7")).here == "cpu"
    monkeypatch.setattr(devices, "devices_of", lambda kind: {"cpu": ["cpu"], "cuda": ["cuda:0"]}.get(kind, []))
    assert Context(make(tmp_path / "third", device="cuda:7")).here == "cuda:0"


def test_settings_that_need_pictures_are_refused_without(tmp_path):
    with pytest.raises(UsageError, match="invert is for real pictures"):
        _ = Context(make(tmp_path, invert=True)).prompts


@pytest.mark.parametrize(("fault", "passes"), [(AutointerpError("no model", ""), False), (DatabaseError("gone"), True)])
def test_an_embedder_that_cannot_be_loaded_is_left_out(tmp_path, monkeypatch, fault, passes):
    def fail(*_given, **_options):
        raise fault

    monkeypatch.setattr(embedders, "load_embedder", fail)
    assert Context(make(tmp_path / "shipped")).has_embedder, "one of the package is not loaded for that"
    ctx = Context(make(tmp_path / "w", embedder="somewhere"))
    if passes:
        with pytest.raises(DatabaseError):
            _ = ctx.has_embedder
    else:
        assert ctx.has_embedder is False
        assert ctx.has_text_embedder is False


def test_a_layer_means_its_newest_fitted_dictionary_else_its_only_import(labeled):
    ctx = Context(WorkspaceFolder(labeled))
    assert ctx.dictionary_of("mid").name == NAME
    assert ctx.dictionary_of("early") is None
    with pytest.raises(UsageError, match="there is no dictionary 'shapes-turbo.mid.tpk'.*shapes-turbo.mid.topk"):
        ctx.dictionary_named("shapes-turbo.mid.tpk")


def test_several_imports_are_named_in_the_error(tmp_path):
    ctx = Context(make(tmp_path))
    layer = ctx.layer("mid")
    with ctx.db.session() as session:
        for name in ("one", "two"):
            session.add(
                models.DictionaryRow(
                    name=name,
                    identity=name,
                    kind="topk",
                    model="shapes-turbo",
                    layer=layer.name,
                    hookpoint=layer.hookpoint,
                    signal="output",
                    grid_rows=1,
                    grid_cols=1,
                    d_in=layer.d_in,
                    num_latents=4,
                    weights_sha256="",
                )  # fmt: skip
            )
    with pytest.raises(UsageError, match="several imported dictionaries.*--dictionary one, two"):
        ctx.dictionary_of("mid")
    assert ctx.layer_of(ctx.dictionary_named("one")).d_in == layer.d_in


@pytest.fixture
def open_workspace(tmp_path: Path) -> Iterator[Callable[..., WorkspaceFolder]]:
    opened: list[WorkspaceFolder] = []

    def make(**values: Any) -> WorkspaceFolder:
        opened.append(WorkspaceFolder.create(tmp_path / str(len(opened)), Settings.from_values(values)))
        return opened[-1]

    yield make
    for workspace in opened:
        workspace.close()


@pytest.mark.parametrize(
    ("changed", "value"),
    [("seed", 1), ("steps", 3), ("capture_steps", [0]), ("guidance", 2.0), ("prompts", "everyday")],
)
def test_what_activations_depend_on(open_workspace: Callable[..., WorkspaceFolder], changed: str, value: Any) -> None:
    base, other = Context(open_workspace(steps=4)), Context(open_workspace(**{"steps": 4, changed: value}))
    assert base.made_of(base.layer("mid")) != other.made_of(other.layer("mid"))
    # The number of images and the machine make no other activations.
    same = Context(open_workspace(steps=4, images=5, batch_size=2, device="cpu"))
    assert base.made_of(base.layer("mid")) == same.made_of(same.layer("mid"))


def test_tokens_are_counted_by_each_pictures_own_grid(
    open_workspace: Callable[..., WorkspaceFolder], tmp_path: Path
) -> None:
    ctx = Context(open_workspace())
    layer = ctx.layer("mid")
    rows, cols = layer.grid
    assert ctx.tokens(layer, 2, 5) == 3 * rows * cols
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "size": "96x48"}\n')
    sized = Context(open_workspace(prompts=str(tmp_path / "p.jsonl")))
    assert sized.tokens(sized.layer("mid"), 0, 2) == rows * cols + rows * cols // 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": 97}, "multiple of"),
        ({"steps": 3, "capture_steps": [3]}, "step 3 is not among"),
        ({"keep_aspect": True}, "images_dir"),
        ({"prompts": "everyday", "images_dir": "."}, "both prompts and images_dir"),
    ],
)
def test_settings_that_cannot_be_used(
    open_workspace: Callable[..., WorkspaceFolder], values: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as raised:
        Context(open_workspace(**values)).check()
    assert said in str(raised.value)
