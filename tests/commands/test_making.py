"""Making a workspace, dictionaries, crops and figures: what the commands refuse, and what `init` writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from autointerp.project.settings_file import read_settings
from tests.commands.lines import Misuse, check_misuse, one_line

Cli = Callable[..., Any]


MISUSE: Misuse = {
    "unknown hookpoint": (["fit", "--layer", "transformer.transformer_block.1"], 2, ["transformer_blocks"]),
    "unknown dictionary": (["harvest", "--layer", "mid", "--dictionary", "x"], 2, ["no dictionary 'x'"]),
    "evaluate before anything": (["evaluate", "--layer", "mid"], 1, ["autointerp label"]),
    "unknown kind": (["fit", "--layer", "mid", "--kind", "topq"], 2, ["did you mean 'topk'?"]),
    "k above the latents": (["fit", "--layer", "mid", "--latents", "4", "-k", "5"], 2, ["only 4 latents"]),
    "no images": (["harvest", "--layer", "mid", "--images", "0"], 2, ["--images"]),
    "negative images": (["fit", "--layer", "mid", "--images", "-5"], 2, ["--images"]),
    "no latents": (["fit", "--layer", "mid", "--latents", "0"], 2, ["--latents"]),
    "no top crops": (["harvest", "--layer", "mid", "--top", "0"], 2, ["--top"]),
    "a word for a number": (["harvest", "--layer", "mid", "--images", "many"], 2, ["--images"]),
    "unknown device": (["fit", "--layer", "mid", "--device", "gpu"], 2, ["cuda"]),
    "unknown dtype": (["fit", "--layer", "mid", "--dtype", "int8"], 2, ["float32"]),
}


@pytest.mark.parametrize("case", sorted(MISUSE))
def test_misuse_is_one_line_with_what_to_do(made: Path, cli: Cli, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    check_misuse(cli, made, MISUSE[case])


PROMPTS: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("none.txt", None, "no prompts file"),
    "empty": ("empty.txt", b"", "holds no prompt"),
    "blank": ("blank.txt", b"\n  \n# only a remark\n", "holds no prompt"),
    "binary": ("picture.png", b"\x89PNG\r\n\x1a\n\x00\x00\xff", "is a picture"),
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

    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("a cat\n")
    more = ["--set", "loading.offload=model", "--set", "crops.top=3", "--set", "prompts=p.txt", "--set", "images=4"]
    assert cli("-w", "w", "init", "--images", "9", *more).code == 0
    made = read_settings(tmp_path / "w" / "autointerp.toml")
    assert (made.loading.offload, made.crops.top, made.images) == ("model", 3, 9)
    assert made.prompts == str(tmp_path / "p.txt")  # a path of the folder that init ran in


def test_a_workspace_loads_its_model_as_it_says(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes the weights is part of what activations are made of; what does not is not."""
    from autointerp.diffusion import loading
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.search import embedders

    given: list[object] = []

    def load(*args: object) -> SimpleNamespace:
        given.append(args[-1])
        return SimpleNamespace(notes=())

    monkeypatch.setattr(loading, "load_model", load)
    monkeypatch.setattr(embedders, "load_embedder", lambda name, **how: given.append(how))
    made_of = []
    for n, more in enumerate([[], ["--set", "loading.offload=model"], ["--set", "loading.quantize=int8"]]):
        settings = ("--set", "loading.local_files_only=true", "--set", "embedder=someones/clip")
        assert cli("-w", tmp_path / str(n), "init", *settings, *more).code == 0
        ctx = Context(WorkspaceFolder(tmp_path / str(n)))
        _ = ctx.model, ctx.embedder
        assert given[-2:] == [ctx.settings.loading, {"device": ctx.here, "local_files_only": True}]
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


def test_init_refuses_a_second_time(made: Path, cli: Cli) -> None:
    before = (made / "autointerp.toml").read_text()
    one_line(cli("-w", made, "init", "--images", "7"), 2)
    assert (made / "autointerp.toml").read_text() == before


def test_init_writes_what_it_was_given(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "p.txt").write_text("a red circle\na blue square\n")
    given = ["--prompts", tmp_path / "p.txt", "--images", "7", "--steps", "3", "--size", "96", "--seed", "4"]
    assert cli("-w", tmp_path / "w", "init", *given, "--dtype", "float32").code == 0

    found = read_settings(tmp_path / "w" / "autointerp.toml")
    assert (found.images, found.steps, found.size, found.seed, found.dtype) == (7, 3, 96, 4, "float32")
    assert found.prompts == str(tmp_path / "p.txt")


def test_a_full_disk_while_writing_files(made: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp import files

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(files.os, "replace", full)
    done = cli("-w", made.parent / "other", "init")
    one_line(done, 1)
    assert "disk is full" in done.err or "No space left" in done.err


def test_a_revision_is_stored_and_asked_for(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.diffusion import describe

    asked = []

    def hub(name: str, revision: str | None, local_files_only: bool) -> Any:
        asked.append((name, revision))
        return describe.describe_model("shapes")

    monkeypatch.setattr(describe, "describe_hub", hub)
    given = ("--model", "owner/name", "--revision", "v2")
    assert cli("layers", *given).code == 0
    assert cli("-w", tmp_path / "w", "init", *given).code == 0
    assert asked == [("owner/name", "v2")] * 2
    assert read_settings(tmp_path / "w" / "autointerp.toml").revision == "v2"
    one_line(cli("layers", "--model", "shapes", "--revision", "v2"), 2)


@pytest.mark.parametrize("command", ["fit", "harvest"])
def test_what_is_there_is_not_made_again(labeled: Path, cli: Callable[..., Any], command: str) -> None:
    done = cli("-w", labeled, command, "--layer", "mid", "--dry-run")
    assert done.code == 0, done.err
    assert "shapes-turbo.mid.topk" in done.out


def test_a_second_workspace_is_not_made_in_its_place(labeled: Path, cli: Callable[..., Any]) -> None:
    before = (labeled / "autointerp.toml").read_bytes()
    assert cli("-w", labeled, "init").code == 2
    assert (labeled / "autointerp.toml").read_bytes() == before


def test_init_says_what_it_found(tmp_path: Path, cli: Cli) -> None:
    long = " ".join(["large red solid circle"] * 20)
    (tmp_path / "p.txt").write_text(f"a cup\n{long}\na lamp\na cup\n")
    done = cli("-w", tmp_path / "a", "init", "--prompts", tmp_path / "p.txt")
    assert done.err.splitlines() == ["4 prompts, 1 repeated, 1 cut at 28 tokens"]
    assert done.out.strip() == str(tmp_path / "a")
    assert cli("-w", tmp_path / "b", "-q", "init", "--prompts", tmp_path / "p.txt").err == ""
    for n in range(3):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / "pictures" / f"{n}.png")
    (tmp_path / "pictures" / "0.caption").write_text(long)
    (tmp_path / "pictures" / "x.heic").write_bytes(b"x")
    done = cli("-w", tmp_path / "c", "init", "--images-dir", tmp_path / "pictures")
    assert done.err.splitlines() == ["3 pictures, 1 with a caption, 1 left out (HEIC), 1 caption cut at 28 tokens"]
