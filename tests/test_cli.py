"""The command line's manners: one line for every misuse, options where people put them, help at once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from autointerp.version import VERSION

Cli = Callable[..., Any]


def commands(group: click.Group | None = None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command of the tree, groups included."""
    from autointerp.cli import cli as root

    found = [path]
    for name, command in (group or root).commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def one_line(done: Any, *codes: int) -> None:
    assert done.code in codes, done
    assert done.err.startswith("error: ") and done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err and len(done.err) < 600
    assert done.out == ""


@pytest.fixture
def made(tmp_path: Path, cli: Cli) -> Path:
    """A workspace with nothing in it."""
    assert cli("-w", tmp_path / "w", "init").code == 0
    assert cli("-w", tmp_path / "w", "status").code == 0
    return tmp_path / "w"


PROMPTS: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("none.txt", None, "no prompts file"),
    "empty": ("empty.txt", b"", "holds no prompt"),
    "blank": ("blank.txt", b"\n  \n# only a remark\n", "holds no prompt"),
    "binary": ("picture.png", b"\x89PNG\r\n\x1a\n\x00\x00\xff", "is not text"),
    "not UTF-8": ("latin.txt", "ein Stück".encode("latin-1"), "is not text"),
    "one bad line": ("p.jsonl", b'{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": 3}\n{"prompt": "c"}\n', "line 3"),
    "no JSON": ("p.jsonl", b'{"prompt": "a"}\nred circle\n', "line 2"),
    "unknown key": ("p.jsonl", b'{"promt": "a"}\n', "line 1"),
    "a bad seed": ("p.jsonl", b'{"prompt": "a", "seed": -1}\n', "line 1"),
}


@pytest.mark.parametrize("case", sorted(PROMPTS))
def test_prompts_files(tmp_path: Path, cli: Cli, case: str) -> None:
    name, data, said = PROMPTS[case]
    if data is not None:
        (tmp_path / name).write_bytes(data)
    done = cli("-w", tmp_path / "w", "init", "--prompts", tmp_path / name)
    one_line(done, 1, 2)
    assert said in done.err
    assert not (tmp_path / "w").exists()


def test_prompts_may_be_a_folder_by_mistake(tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", tmp_path / "w", "init", "--prompts", tmp_path)
    one_line(done, 1, 2)
    assert "is a folder" in done.err


MISUSE: dict[str, tuple[list[str], int, list[str]]] = {
    "unknown layer": (["label", "--layer", "mdi"], 2, ["did you mean 'mid'?", "early, mid, late"]),
    "unknown layer of a search": (["search", "red", "--layer", "lat"], 2, ["did you mean 'late'?"]),
    "unknown layer of an export": (["export", "--layer", "mud", "-o", "x"], 2, ["did you mean 'mid'?"]),
    "unknown hookpoint": (["fit", "--layer", "transformer.transformer_block.1"], 2, ["transformer_blocks"]),
    "unknown dictionary": (["harvest", "--layer", "mid", "--dictionary", "x"], 2, ["no dictionary 'x'"]),
    "unknown dictionary to remove": (["rm", "x"], 2, ["no dictionary 'x'"]),
    "a feature without a colon": (["show", "17"], 2, ["DICTIONARY:INDEX"]),
    "a feature of no dictionary": (["show", "x:17"], 2, ["no dictionary 'x'"]),
    "a feature that is no number": (["show", "x:\u00b2"], 2, ["DICTIONARY:INDEX"]),
    "a feature that is no small number": (["show", "x:" + "9" * 40], 2, ["DICTIONARY:INDEX"]),
    "empty search": (["search", ""], 2, ["empty"]),
    "search without a word": (["search", " *?! "], 2, ["empty"]),
    "search before anything": (["search", "red"], 1, ["autointerp label"]),
    "export before anything": (["export", "--layer", "mid", "-o", "x"], 1, ["autointerp label"]),
    "evaluate before anything": (["evaluate", "--layer", "mid"], 1, ["autointerp label"]),
    "score before anything": (["score", "--layer", "mid"], 1, ["autointerp label"]),
    "unknown route": (["search", "red", "--route", "crop"], 2, ["crops"]),
    "unknown score": (["score", "--layer", "mid", "--method", "detect"], 2, ["did you mean 'detection'?"]),
    "unknown labeler": (["label", "--layer", "mid", "--labeler", "clop"], 2, ["did you mean 'clip'?"]),
    "unknown kind": (["fit", "--layer", "mid", "--kind", "topq"], 2, ["did you mean 'topk'?"]),
    "unknown format": (["export", "--layer", "mid", "-o", "x", "--format", "jsnl"], 2, ["did you mean 'jsonl'?"]),
    "k above the latents": (["fit", "--layer", "mid", "--latents", "4", "-k", "5"], 2, ["only 4 latents"]),
    "no images": (["harvest", "--layer", "mid", "--images", "0"], 2, ["--images"]),
    "negative images": (["fit", "--layer", "mid", "--images", "-5"], 2, ["--images"]),
    "no latents": (["fit", "--layer", "mid", "--latents", "0"], 2, ["--latents"]),
    "no top crops": (["harvest", "--layer", "mid", "--top", "0"], 2, ["--top"]),
    "no features": (["label", "--layer", "mid", "-n", "0"], 2, ["-n"]),
    "a negative feature": (["label", "--layer", "mid", "--feature", "-1"], 2, ["--feature"]),
    "no money": (["label", "--layer", "mid", "--max-cost", "0"], 2, ["--max-cost"]),
    "no jobs": (["label", "--layer", "mid", "-j", "0"], 2, ["--jobs"]),
    "a word for a number": (["harvest", "--layer", "mid", "--images", "many"], 2, ["--images"]),
    "a score above one": (["search", "red", "--min-score", "1.5"], 2, ["--min-score"]),
    "unknown device": (["fit", "--layer", "mid", "--device", "gpu"], 2, ["cuda"]),
    "unknown dtype": (["fit", "--layer", "mid", "--dtype", "int8"], 2, ["float32"]),
    "unknown option": (["label", "--layr", "mid"], 2, ["--layer"]),
    "unknown command": (["lable", "--layer", "mid"], 2, ["lable"]),
    "a missing option": (["label"], 2, ["--layer"]),
    "a missing argument": (["search"], 2, ["TEXT"]),
    "unknown model": (["layers", "--model", "shaeps"], 2, ["did you mean 'shapes'?"]),
    "a backup onto itself": (["db", "backup", "."], 1, ["exists"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, code, said = MISUSE[case]
    monkeypatch.chdir(made.parent)
    done = cli("-w", made, *arguments)
    one_line(done, code)
    for words in said:
        assert words in done.err
    # What failed at the door leaves nothing behind.
    assert not (made / "dictionaries").exists()


INIT: dict[str, tuple[list[str], list[str]]] = {
    "no images": (["--images", "0"], ["--images"]),
    "negative size": (["--size", "-96"], ["--size"]),
    "a size between": (["--size", "97"], ["multiple of", "96"]),
    "no steps": (["--steps", "0"], ["--steps"]),
    "a negative seed": (["--seed", "-1"], ["--seed"]),
    "an endless seed": (["--seed", "9" * 30], ["--seed"]),
    "unknown device": (["--device", "tpu"], ["cuda"]),
    "unknown dtype": (["--dtype", "float8"], ["float32"]),
    "no model": (["--model", ""], ["model"]),
    "an unknown key": (["--set", "loading.offlod=model"], ["loading.offlod", "did you mean 'offload'?"]),
    "a setting without a value": (["--set", "images"], ["KEY=VALUE"]),
}


@pytest.mark.parametrize("case", sorted(INIT))
def test_init_checks_before_it_writes(tmp_path: Path, cli: Cli, case: str) -> None:
    arguments, said = INIT[case]
    done = cli("-w", tmp_path / "w", "init", *arguments)
    one_line(done, 2)
    for words in said:
        assert words in done.err
    assert not (tmp_path / "w").exists()


def test_init_sets_any_key(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.settings import Settings

    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("a cat\n")
    more = ["--set", "loading.offload=model", "--set", "crops.top=3", "--set", "prompts=p.txt", "--set", "images=4"]
    assert cli("-w", "w", "init", "--images", "9", *more).code == 0
    made = Settings.from_file(tmp_path / "w" / "autointerp.toml")
    assert (made.loading.offload, made.crops.top, made.images) == ("model", 3, 9)
    assert made.prompts == str(tmp_path / "p.txt")  # a path of the folder that init ran in


def test_a_workspace_loads_its_model_as_it_says(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes the weights is part of what activations are made of; what does not is not."""
    from autointerp.diffusion import loading
    from autointerp.search import embedders
    from autointerp.stages.context import Context
    from autointerp.workspace import Workspace

    given: list[object] = []
    monkeypatch.setattr(loading, "load_model", lambda *args: given.append(args[-1]))
    monkeypatch.setattr(embedders, "load_embedder", lambda name, **how: given.append(how))
    made_of = []
    for n, more in enumerate([[], ["--set", "loading.offload=model"], ["--set", "loading.quantize=int8"]]):
        assert cli("-w", tmp_path / str(n), "init", "--set", "loading.local_files_only=true", *more).code == 0
        ctx = Context(Workspace(tmp_path / str(n)))
        _ = ctx.model, ctx.embedder
        assert given[-2:] == [ctx.settings.loading, {"local_files_only": True}]
        made_of.append(ctx.made_of(ctx.layer("mid")))
    assert made_of[0] == made_of[1] != made_of[2]
    assert made_of[2]["revision"] == made_of[0]["revision"] + "+int8"


def test_a_model_folder_that_is_no_pipeline(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "model_index.json").write_text('{"_class_name": "SpeechPipeline"}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_index.json").write_text("{")
    for name, said in (
        ("model", "is no pipeline"),
        ("file", "is a file"),
        ("half", "not complete"),
        ("strange", "SpeechPipeline"),
        ("broken", "cannot be read"),
        ("absent/model/path", "no model folder"),
    ):
        for command in (["init", "--model"], ["layers", "--model"]):
            done = cli("-w", tmp_path / "w", *command, tmp_path / name)
            one_line(done, 1, 2)
            assert said in done.err
    assert not (tmp_path / "w").exists()


SETTINGS: dict[str, tuple[str, list[str]]] = {
    "unknown key": ("imagse = 5\n", ["imagse", "did you mean 'images'?"]),
    "unknown key in a table": ("[crops]\ntpo = 5\n", ["crops.tpo", "did you mean 'top'?"]),
    "zero images": ("images = 0\n", ["images", "0"]),
    "negative latents": ("[dictionary]\nlatents = -1\n", ["dictionary.latents"]),
    "a string for a number": ('images = "many"\n', ["images"]),
    "no TOML": ("images = \n", ["not valid TOML", "line 1"]),
    "unknown labeler": ('labeler = "clop"\n', ["did you mean 'clip'?"]),
    "a step that is not there": ("steps = 2\ncapture_steps = [7]\n", ["step 7"]),
    "missing prompts": ('prompts = "none.txt"\n', ["no prompts file"]),
}


@pytest.mark.parametrize("case", sorted(SETTINGS))
def test_settings_files(made: Path, cli: Cli, case: str) -> None:
    text, said = SETTINGS[case]
    (made / "autointerp.toml").write_text(text)
    done = cli("-w", made, "-q", "label", "--layer", "mid")
    one_line(done, 1, 2)
    for words in said:
        assert words in done.err
    assert not (made / "dictionaries").exists()


def test_a_binary_settings_file(made: Path, cli: Cli) -> None:
    (made / "autointerp.toml").write_bytes(b"\xff\xfe\x00")
    one_line(cli("-w", made, "status"), 1)


@pytest.mark.parametrize(
    "command", [["label", "--layer", "mid"], ["init"], ["status"], ["search", "red"]], ids=" ".join
)
def test_a_workspace_that_cannot_be_one(tmp_path: Path, cli: Cli, command: list[str]) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "under", "/proc/autointerp-nowhere"):
        one_line(cli("-w", path, "-q", *command), 1, 2)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "command", [["status"], ["search", "red"], ["show", "x:1"], ["rm", "x"], ["db", "check"]], ids=" ".join
)
def test_reading_makes_no_workspace(tmp_path: Path, cli: Cli, command: list[str]) -> None:
    done = cli("-w", tmp_path / "w", *command)
    one_line(done, 1)
    assert "autointerp init" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_something_else(made: Path, cli: Cli) -> None:
    (made / "autointerp.db").unlink()
    for leftover in made.glob("autointerp.db-*"):
        leftover.unlink()
    (made / "autointerp.db").write_text("dear diary")
    for command in (["status"], ["label", "--layer", "mid"], ["db", "check"]):
        done = cli("-w", made, "-q", *command)
        one_line(done, 1)
        assert "not an SQLite database" in done.err
    assert (made / "autointerp.db").read_text() == "dear diary"


def test_a_database_of_a_newer_schema(made: Path, cli: Cli) -> None:
    with sqlite3.connect(made / "autointerp.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in (["status"], ["label", "--layer", "mid"], ["db", "upgrade"]):
        done = cli("-w", made, "-q", *command)
        one_line(done, 1)
        assert "newer autointerp" in done.err and "upgrade autointerp" in done.err


def test_another_programs_database(made: Path, cli: Cli) -> None:
    for old in made.glob("autointerp.db*"):
        old.unlink()
    with sqlite3.connect(made / "autointerp.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
    one_line(cli("-w", made, "status"), 1)


def test_a_full_disk_while_writing_files(made: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp import workspace

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(workspace.os, "replace", full)
    done = cli("-w", made.parent / "other", "init")
    one_line(done, 1)
    assert "disk is full" in done.err or "No space left" in done.err


def test_init_refuses_a_second_time(made: Path, cli: Cli) -> None:
    before = (made / "autointerp.toml").read_text()
    one_line(cli("-w", made, "init", "--images", "7"), 2)
    assert (made / "autointerp.toml").read_text() == before


def test_verbose_shows_the_traceback(made: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "autointerp.cli", "-w", str(made), "-v", "rm", "x"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_the_workspace_before_after_and_from_the_environment(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUTOINTERP_WORKSPACE", raising=False)
    assert cli("-w", "before", "init").out == "before\n"
    assert cli("init", "-w", "after").out == "after\n"
    assert cli("-w", "before", "init", "--workspace", "nearer").out == "nearer\n"
    monkeypatch.setenv("AUTOINTERP_WORKSPACE", "named")
    assert cli("init").out == "named\n"
    assert cli("-w", "given", "init").out == "given\n"
    monkeypatch.delenv("AUTOINTERP_WORKSPACE")
    assert cli("init").out == "autointerp-workspace\n"
    made = {p.name for p in tmp_path.iterdir()}
    assert made == {"before", "after", "nearer", "named", "given", "autointerp-workspace"}
    assert cli("db", "path").out == f"{Path('autointerp-workspace', 'autointerp.db')}\n"


def test_init_writes_what_it_was_given(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "p.txt").write_text("a red circle\na blue square\n")
    given = ["--prompts", tmp_path / "p.txt", "--images", "7", "--steps", "3", "--size", "96", "--seed", "4"]
    assert cli("-w", tmp_path / "w", "init", *given, "--dtype", "float32").code == 0
    from autointerp.settings import Settings

    found = Settings.from_file(tmp_path / "w" / "autointerp.toml")
    assert (found.images, found.steps, found.size, found.seed, found.dtype) == (7, 3, 96, 4, "float32")
    assert found.prompts == str(tmp_path / "p.txt")


def test_layers(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = json.loads(cli("layers", "--json").out)
    assert [row["alias"] for row in listed] == ["early", "mid", "late"]
    for row in listed:
        assert set(row) == {"alias", "hookpoint", "d_in", "grid", "stream", "signal"}
        assert row["hookpoint"].startswith("transformer.") and min(row["grid"]) >= 8
    table = cli("layers").out
    assert all(row["hookpoint"] in table for row in listed)
    assert len(json.loads(cli("layers", "--all", "--json").out)) > 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_help(cli: Cli, path: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        done = cli(*path, option)
        assert done.code == 0 and done.err == ""
        assert done.out.startswith(f"Usage: {' '.join(('autointerp', *path))} ")
    assert "\\b" not in done.out
    for line in done.out.splitlines():
        # An option without a word of help ends after its name.
        assert not line.strip().startswith("--") or "  " in line.strip(), line


def test_no_command_is_a_question_for_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 2 and "Usage: autointerp" in done.out + done.err and "Traceback" not in done.err


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"autointerp {VERSION}\n"


def test_help_comes_at_once() -> None:
    """In processor seconds, which other work on the machine does not stretch; the best of some."""
    import resource

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "autointerp.cli", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(seconds() for _ in range(4)) < 0.5


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    code = f"{sys.executable} -m autointerp.cli layers --all --json | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[\n" and "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_data_and_notes_are_apart(made: Path, cli: Cli) -> None:
    shown = cli("-w", made, "status", "--json")
    assert json.loads(shown.out)["dictionaries"] == [] and shown.err == ""
    assert os.fspath(made) in shown.out


def test_a_revision_is_stored_and_asked_for(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.diffusion import describe
    from autointerp.settings import Settings

    asked = []

    def hub(name: str, revision: str | None, local_files_only: bool) -> Any:
        asked.append((name, revision))
        return describe.describe_model("shapes")

    monkeypatch.setattr(describe, "_describe_hub", hub)
    given = ("--model", "owner/name", "--revision", "v2")
    assert cli("layers", *given).code == 0
    assert cli("-w", tmp_path / "w", "init", *given).code == 0
    assert asked == [("owner/name", "v2")] * 2
    assert Settings.from_file(tmp_path / "w" / "autointerp.toml").revision == "v2"
    one_line(cli("layers", "--model", "shapes", "--revision", "v2"), 2)
