"""Files that cannot be read, or that were damaged, leave nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp import Workspace
from autointerp.export.bundle import MANIFEST
from autointerp.project.settings import HERE_ALONE
from autointerp.transfer.importing.reading import read_import, settings_of

from ..bundles import Cli, hurt, sign
from ..files import one_line, saelens


def _newer_schema(copy: Path) -> None:
    sign(copy, schema="9999")


def _newer_layout(copy: Path) -> None:
    sign(copy, version=99)


def _changed_byte(copy: Path) -> None:
    data = bytearray((copy / "rows" / "crops.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "rows" / "crops.parquet").write_bytes(data)


def _cut(copy: Path) -> None:
    (copy / "rows" / "images.parquet").unlink()


def _climbs(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    sign(copy, files={**manifest["files"], "../out.txt": "0" * 64})


def _link(copy: Path) -> None:
    (copy / "labels.jsonl").rename(copy.parent / "elsewhere")
    (copy / "labels.jsonl").symlink_to(copy.parent / "elsewhere")


def _row(**values: Any) -> Callable[[Path], None]:
    """Another row of the dictionary, with checksums that fit it."""

    def change(copy: Path) -> None:
        from autointerp.export.parquet import Table, read_rows, write_rows
        from autointerp.transfer.bundle_rows import COLUMNS

        path = copy / "rows" / "dictionaries.parquet"
        (rows,) = read_rows(path, COLUMNS["dictionaries"])
        write_rows(Table("dictionaries", COLUMNS["dictionaries"], [{**rows[0], **values}]), path)
        hurt(copy, "rows/dictionaries.parquet", path.read_bytes())

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_newer_schema, "rows of schema 9999"),
        (_newer_layout, "version 99"),
        (_changed_byte, "damaged: rows/crops.parquet"),
        (_cut, "lacks rows/images.parquet"),
        (_climbs, "outside itself"),
        (_link, "holds a link"),
        (lambda copy: hurt(copy, "rows/scores.parquet", b"PAR1"), "cannot be read"),
        (_row(num_latents=63), "of another dictionary"),
        (_row(name="../../up"), "a name that is no folder's"),
    ],
)
def test_what_is_hurt_is_refused_before_anything_is_written(
    bundle: Path, tmp_path: Path, cli: Cli, damage: Callable[[Path], None], said: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    damage(copy)
    done = cli("-w", tmp_path / "w", "import", copy)
    assert done.code == 1, done
    assert done.out == "", done
    assert done.err.count("\n") == 1, done
    assert said in done.err, done
    assert not (tmp_path / "w").exists()


def test_settings_of_whoever_asks_whom_are_not_taken_from_a_bundle(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    """They could send a key to a server of the bundle's choice."""
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    provenance = json.loads((copy / "provenance.json").read_text())
    assert not set(provenance["settings"]) & set(HERE_ALONE)
    theirs = {"base_url": "http://127.0.0.1:9/v1", "labeler": "vlm", "vlm": "m", "api_key_env": "HOME", "seed": 5}
    provenance["settings"] |= theirs | {"database": "sqlite:///elsewhere.db", "embedder": "x/y", "text_embedder": "x/y"}
    hurt(copy, "provenance.json", json.dumps(provenance).encode())
    assert cli("-w", tmp_path / "w", "-q", "import", copy).code == 0
    made = Workspace(tmp_path / "w").settings
    assert made.seed == 5
    assert {getattr(made, name) for name in ("base_url", "vlm", "database")} == {None}
    assert (made.labeler, made.embedder, made.text_embedder) == ("auto", "auto", "auto")


def test_settings_of_a_bundle_without_a_model_mean_shapes(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    provenance = json.loads((copy / "provenance.json").read_text())
    assert provenance["settings"].pop("model") == "shapes-turbo"
    hurt(copy, "provenance.json", json.dumps(provenance).encode())
    found = settings_of(read_import(str(copy)))
    assert found is not None
    assert found.model == "shapes"


@pytest.mark.parametrize(("said", "model"), [("shapes", "shapes"), ("shapes-turbo", "shapes-turbo"), ("a/b", None)])
def test_a_workspace_is_made_for_the_embedded_model_that_files_name(
    tmp_path: Path, said: str, model: str | None
) -> None:
    cfg = saelens(tmp_path / "sae") / "cfg.json"
    config = json.loads(cfg.read_text())
    config["metadata"]["model_name"] = said
    cfg.write_text(json.dumps(config))
    found = settings_of(read_import(str(cfg.parent)))
    assert (found and found.model) == model


def test_a_file_that_cannot_be_read_leaves_nothing(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "empty").mkdir()
    torch.save(torch.nn.Linear(2, 3), tmp_path / "module.pt")
    one_line(cli("-w", tmp_path / "w", "import", tmp_path / "empty", "--layer", "mid"), 1, "holds no weights")
    one_line(cli("-w", tmp_path / "w", "import", tmp_path / "none", "--layer", "mid"), 1, "no file or folder")
    one_line(cli("-w", tmp_path / "w", "import", tmp_path / "module.pt", "--layer", "mid"), 1, "could run code")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"index": 24}', "feature 24 of 24"), ('{"index": 1}\n{"index": 1}', "twice"), ("{", "line 1")],
)
def test_labels_of_another_dictionary(made: Path, cli: Cli, line: str, said: str) -> None:
    files = saelens(made.parent / "sae")
    (files / "labels.jsonl").write_text(line + "\n")
    one_line(cli("-w", made, "-q", "import", files, "--layer", "mid"), 1, said)


def test_several_dictionaries_are_refused_and_one_is_named(made: Path, cli: Cli, query: Any) -> None:
    """Parts of one file are told apart, though the file is the same."""
    from safetensors.torch import load_file

    files = saelens(made.parent / "sae")
    tensors = load_file(files / "sae_weights.safetensors")
    (files / "sae_weights.safetensors").unlink()
    torch.save({"raw": tensors, "ema": {**tensors, "W_dec": tensors["W_dec"] * 2}}, files / "both.pt")
    one_line(
        cli("-w", made, "-q", "import", files, "--layer", "mid"), 2, "both.pt#ema, both.pt#raw", f"{files}/both.pt#"
    )
    for part in ("raw", "ema"):
        done = cli("-w", made, "import", f"{files}/both.pt#{part}", "--layer", "mid")
        assert done.code == 0, done
        assert f"its '{part}' is taken" in done.err
    assert len(query(made, "SELECT DISTINCT weights_sha256 FROM dictionaries")) == 2
    again = cli("-w", made, "import", f"{files}/both.pt#ema", "--layer", "mid")
    assert "nothing to do" in again.err


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json", "labels.jsonl"])
def test_pointers_in_a_bundle_are_named(bundle: Path, tmp_path: Path, cli: Cli, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 50344\n")
    one_line(cli("-w", tmp_path / "w", "import", copy), 1, f"{name} is a git LFS pointer", "git lfs pull")
    assert not (tmp_path / "w").exists()


def test_a_bundle_without_its_manifest_is_no_other_format(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / MANIFEST).unlink()
    one_line(cli("-w", tmp_path / "w", "import", copy), 1, "without its manifest.json", "copy the bundle whole")
