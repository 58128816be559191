"""`import` and `export` of other tools' files, on the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autointerp.export.rows import ExportRow, ExportScore, write_lines

Cli = Callable[..., Any]
D, N, K = 192, 24, 3
"""The width of a layer of shapes; the rest is small."""


def saelens(folder: Path, d_in: int = D, hook: str | None = None, **own: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    W_dec = torch.nn.functional.normalize(torch.randn(N, d_in), dim=1)
    tensors = {"W_enc": W_dec.T.contiguous(), "b_enc": torch.zeros(N), "W_dec": W_dec, "b_dec": torch.zeros(d_in)}
    save_file(tensors, folder / "sae_weights.safetensors")
    metadata = {"sae_lens_version": "6.18.0", "hook_name": hook, **({"autointerp": own} if own else {})}
    config = {"d_in": d_in, "d_sae": N, "architecture": "topk", "k": K, "metadata": metadata}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def labels(folder: Path) -> None:
    rows = [
        ExportRow(index=2, name="red circle", explanation="Fires on red circles.", status="ok", confidence=0.8),
        ExportRow(index=5, status="uninterpretable", labeler="clip"),
        ExportRow(
            index=7, name="blue", status="ok", labeler="clip", scores=(ExportScore(method="embedding", value=0.9),)
        ),
        ExportRow(index=9, status="failed", labeler="vlm"),
    ]
    write_lines(rows, folder / "labels.jsonl")


def one_line(done: Any, code: int, *said: str) -> None:
    assert done.code == code, done
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and done.out == "", done
    for words in said:
        assert words in done.err, done.err


@pytest.fixture
def made(tmp_path: Path, cli: Cli) -> Path:
    assert cli("-w", tmp_path / "w", "init").code == 0
    return tmp_path / "w"


def test_import_makes_a_workspace_and_says_what_it_assumed(tmp_path: Path, cli: Cli, query: Any) -> None:
    done = cli("-w", tmp_path / "w", "import", saelens(tmp_path / "sae"), "--layer", "mid")
    assert (done.code, done.out) == (0, "shapes.mid.topk: topk, 24 latents, of saelens\n"), done
    assert ": the files do not say, it is what the workspace reads" in done.err
    assert "model shapes: the files do not say" in done.err
    columns = "kind, layer, signal, d_in, num_latents, k, images, config"
    ((*values, config),) = query(tmp_path / "w", f"SELECT {columns} FROM dictionaries")
    signal = next(row["signal"] for row in json.loads(cli("layers", "--json").out) if row["alias"] == "mid")
    assert values == ["topk", "mid", signal, D, N, K, 0]
    kept = json.loads(config)
    assert kept["import"]["format"] == "saelens" and len(kept["import"]["assumed"]) == 2
    assert set(kept["import"]["files"]) == {"cfg.json", "sae_weights.safetensors"}
    assert kept["fit"]["images"] == 0 and kept["fit"]["latents"] == N and kept["fit_identity"]
    again = cli("-w", tmp_path / "w", "import", tmp_path / "sae", "--layer", "mid")
    assert again.code == 0 and "nothing to do" in again.err
    assert query(tmp_path / "w", "SELECT count(*) FROM dictionaries") == [(1,)]
    other = cli("-w", tmp_path / "w", "import", tmp_path / "sae", "--layer", "late")
    assert other.out.startswith("shapes.late.topk:")


def test_a_dry_run_stores_nothing(tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", tmp_path / "w", "import", saelens(tmp_path / "sae"), "--layer", "mid", "--dry-run")
    assert done.code == 0 and done.out == "import   shapes.mid.topk: topk, 24 latents, k 3, of saelens, 0 labels\n"
    assert not (tmp_path / "w").exists()


def test_the_files_say_where_and_the_person_wins(made: Path, cli: Cli) -> None:
    late = "transformer.single_transformer_blocks.2"
    files = saelens(made.parent / "sae", hook=late, signal="update", model="shapes", steps=[1])
    done = cli("-w", made, "import", files)
    assert done.out.startswith("shapes.late.topk:") and "layer late: as the files say" in done.err
    assert "steps [1]: as the files say" in done.err
    row = json.loads(cli("-w", made, "status", "--json").out)["dictionaries"][0]
    assert (row["layer"], row["dictionary"]) == ("late", "shapes.late.topk")
    done = cli("-w", made, "import", files, "--layer", "mid", "--signal", "output", "--name", "mine")
    assert done.out.startswith("mine:")
    assert f"is yours; the files say {late}" in done.err and "signal output is yours; the files say update" in done.err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ([], 2, ["do not say which layer", "--layer", "early, mid, late"]),
        (["--layer", "mdi"], 2, ["did you mean 'mid'?"]),
        (["--layer", "mid", "--signal", "input"], 2, ["no signal 'input'", "output, update"]),
        (["--layer", "mid", "--format", "saelnes"], 2, ["did you mean 'saelens'?"]),
        (["--layer", "mid", "--format", "sparsify"], 1, ["not of the format sparsify"]),
        (["--layer", "mid", "--name", "a/b"], 2, ["cannot name a dictionary"]),
        (["--layer", "mid", "-k", "7"], 2, ["says k 3, not 7"]),
        (["--layer", "mid", "-k", "0"], 2, ["-k"]),
    ],
    ids=str,
)
def test_misuse(made: Path, cli: Cli, more: list[str], code: int, said: list[str]) -> None:
    one_line(cli("-w", made, "-q", "import", saelens(made.parent / "sae"), *more), code, *said)
    assert not (made / "dictionaries").exists()


def test_another_width_another_layer_a_name_that_is_taken(made: Path, cli: Cli) -> None:
    files = saelens(made.parent / "wide", d_in=1280, hook="unet.mid_block.attentions.0")
    one_line(cli("-w", made, "-q", "import", files, "--layer", "mid"), 1, "1280 wide", "192 wide")
    one_line(cli("-w", made, "-q", "import", files), 2, "unet.mid_block.attentions.0, which shapes does not have")
    files = saelens(made.parent / "sae")
    assert cli("-w", made, "-q", "import", files, "--layer", "mid", "--name", "mine").code == 0
    one_line(cli("-w", made, "-q", "import", files, "--layer", "late", "--name", "mine"), 2, "already")


def test_a_file_that_cannot_be_read_leaves_nothing(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "empty").mkdir()
    torch.save(torch.nn.Linear(2, 3), tmp_path / "module.pt")
    one_line(cli("-w", tmp_path / "w", "import", tmp_path / "empty", "--layer", "mid"), 1, "holds no weights")
    one_line(cli("-w", tmp_path / "w", "import", tmp_path / "none", "--layer", "mid"), 1, "no file or folder")
    one_line(cli("-w", tmp_path / "w", "import", tmp_path / "module.pt", "--layer", "mid"), 1, "could run code")
    assert not (tmp_path / "w").exists()


def test_the_hub_out_of_reach_is_one_line_at_once(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.export import fetch

    monkeypatch.setattr(fetch, "hub_answers", lambda local_files_only: False)
    since = time.monotonic()
    one_line(cli("-w", tmp_path / "w", "import", "hf:no-one/nothing", "--layer", "mid"), 1, "the hub does not answer")
    assert time.monotonic() - since < 10
    for address in ("hf:no-one", "hf:", "hf:a/b/../c"):
        one_line(cli("-w", tmp_path / "w", "import", address, "--layer", "mid"), 2, "hf:OWNER/REPO")
    assert not (tmp_path / "w").exists()


def test_which_files_of_the_hub_are_fetched() -> None:
    from autointerp.errors import AutointerpError, UsageError
    from autointerp.export.fetch import _wanted

    files = [
        "README.md",
        "config.json",
        "a/cfg.json",
        "a/sae.safetensors",
        "b/cfg.json",
        "b/sae.safetensors",
        "b/x.zip",
    ]
    assert _wanted("hf:o/r/b", files, "b") == ["config.json", "b/cfg.json", "b/sae.safetensors"]
    bundle = [f"x/{name}" for name in ("manifest.json", "README.md", "weights.safetensors", "cfg.json", "crops/1.webp")]
    assert _wanted("hf:o/r/x", [*files, *bundle], "x") == bundle
    with pytest.raises(UsageError, match="name one of its folders: a, b"):
        _wanted("hf:o/r", files, "")
    with pytest.raises(AutointerpError, match="no weights"):
        _wanted("hf:o/r/c", files, "c")


def test_labels_come_along(made: Path, cli: Cli, query: Any) -> None:
    files = saelens(made.parent / "sae")
    labels(files)
    done = cli("-w", made, "import", files, "--layer", "mid")
    assert done.out == "shapes.mid.topk: topk, 24 latents, of saelens, 2 labels\n"
    shown = json.loads(cli("-w", made, "show", "shapes.mid.topk:2", "--json").out)
    assert shown["label"]["name"] == "red circle" and shown["label"]["labeler"] == "import"
    shown = json.loads(cli("-w", made, "show", "shapes.mid.topk:7", "--json").out)
    assert shown["label"]["labeler"] == "clip" and shown["scores"][0]["value"] == 0.9
    found = json.loads(cli("-w", made, "search", "red circle", "--json").out)
    assert found and found[0]["feature"] == "shapes.mid.topk:2"
    # Their labeler is not ours of that kind, whose own labels are still to be made.
    assert all(digest for (digest,) in query(made, "SELECT config_hash FROM labelers"))
    out = made.parent / "out"
    assert cli("-w", made, "export", "--layer", "mid", "-o", out, "--format", "sparsify").code == 0
    rows = {r["index"]: r for r in map(json.loads, (out / "labels.jsonl").read_text().splitlines())}
    assert (
        rows[2]["name"] == "red circle" and rows[5]["status"] == "uninterpretable" and rows[9]["status"] == "unlabeled"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"index": 24}', "feature 24 of 24"), ('{"index": 1}\n{"index": 1}', "twice"), ("{", "line 1")],
)
def test_labels_of_another_dictionary(made: Path, cli: Cli, line: str, said: str) -> None:
    files = saelens(made.parent / "sae")
    (files / "labels.jsonl").write_text(line + "\n")
    one_line(cli("-w", made, "-q", "import", files, "--layer", "mid"), 1, said)


@pytest.mark.parametrize("form", ["saelens", "sparsify", "dictionary-learning"])
def test_export_and_back(tmp_path: Path, cli: Cli, form: str) -> None:
    """What one workspace exports, another imports: weights, labels, layer, signal and steps."""
    files = saelens(tmp_path / "sae")
    labels(files)
    assert cli("-w", tmp_path / "a", "import", files, "--layer", "late", "--signal", "update").code == 0
    out = tmp_path / "out"
    done = cli("-w", tmp_path / "a", "export", "--layer", "late", "-o", out, "--format", form)
    assert done.code == 0 and done.out == f"{out}\n" and done.err == "2 labels\n"
    back = cli("-w", tmp_path / "b", "import", out)
    assert back.out == f"shapes.late.topk: topk, 24 latents, of {form}, 2 labels\n", back
    assert "yours" not in back.err and "do not say" not in back.err
    from autointerp import load_dictionary

    first, second = (load_dictionary(tmp_path / w / "dictionaries" / "shapes.late.topk") for w in "ab")
    torch.testing.assert_close(second.directions, first.directions)
    assert cli("-w", tmp_path / "a", "export", "--layer", "late", "-o", out, "--format", form).code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    done = cli("-w", tmp_path / "a", "export", "--layer", "late", "-o", tmp_path / "mine", "--format", form)
    one_line(done, 2, "holds something that is not an export")


def test_what_a_format_cannot_express_is_refused(made: Path, cli: Cli) -> None:
    files = saelens(made.parent / "sae")
    config = json.loads((files / "cfg.json").read_text())
    (files / "cfg.json").write_text(json.dumps({**config, "architecture": "standard"}))
    assert cli("-w", made, "-q", "import", files, "--layer", "mid").code == 0
    done = cli("-w", made, "-q", "export", "--layer", "mid", "-o", made.parent / "out", "--format", "sparsify")
    one_line(done, 1, "kind relu", "saelens or dictionary-learning or bundle")
    assert not (made.parent / "out").exists()


def test_a_bundle_needs_no_layer(labeled: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", labeled, "export", "--layer", "mid", "-o", tmp_path / "out")
    assert done.code == 0, done
    first = (tmp_path / "out" / "labels.jsonl").read_text()
    count = sum(json.loads(line)["status"] == "ok" for line in first.splitlines())
    back = cli("-w", tmp_path / "w", "import", tmp_path / "out")
    assert back.code == 0 and back.out.startswith("shapes.mid.topk: topk, 64 latents, of bundle"), back
    row = json.loads(cli("-w", tmp_path / "w", "status", "--json").out)["dictionaries"][0]
    assert row["labels"] == count and row["features"] == 64
    assert cli("-w", tmp_path / "w", "export", "--layer", "mid", "-o", tmp_path / "again").code == 0
    assert (tmp_path / "again" / "labels.jsonl").read_text() == first


def test_an_import_is_harvested_and_labeled_and_keeps_its_labels(
    tmp_path: Path, cli: Cli, small_parts: None, query: Any
) -> None:
    files = saelens(tmp_path / "sae")
    labels(files)
    workspace = tmp_path / "w"
    workspace.mkdir()
    settings = 'images = 16\nsteps = 2\ncapture_steps = [1]\nbatch_size = 8\ndtype = "float32"\n'
    (workspace / "autointerp.toml").write_text(settings)
    assert cli("-w", workspace, "import", files, "--layer", "mid").code == 0
    done = cli("-w", workspace, "-q", "label", "--layer", "mid", "--labeler", "prompts")
    assert done.code == 0, done
    row = json.loads(cli("-w", workspace, "status", "--json").out)["dictionaries"]
    assert [r["dictionary"] for r in row] == ["shapes.mid.topk"] and row[0]["live"] > 0 and row[0]["crops"] > 0
    kept = query(workspace, "SELECT name FROM labels JOIN labelers ON labelers.id = labeler_id WHERE kind = 'import'")
    assert kept == [("red circle",)]


def test_a_harvest_reads_the_signal_of_the_import(tmp_path: Path, cli: Cli, small_parts: None, query: Any) -> None:
    """Not that of the workspace: another signal is another tensor."""
    workspace, strongest = tmp_path / "w", {}
    workspace.mkdir()
    settings = 'images = 8\nsteps = 2\ncapture_steps = [1]\nbatch_size = 8\ndtype = "float32"\n'
    (workspace / "autointerp.toml").write_text(settings)
    for signal in ("output", "update"):
        more = ["--layer", "mid", "--signal", signal, "--name", signal]
        assert cli("-w", workspace, "import", saelens(tmp_path / signal), *more).code == 0
        assert cli("-w", workspace, "-q", "harvest", "--layer", "mid", "--dictionary", signal).code == 0
        found = "SELECT max(max_activation) FROM features JOIN dictionaries d ON d.id = dictionary_id WHERE d.name = ?"
        ((strongest[signal],),) = query(workspace, found, signal)
    assert strongest["output"] != pytest.approx(strongest["update"], rel=1e-3)
