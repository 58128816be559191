"""Bundles: written whole or not at all, and refused when anything in them has changed."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.export.bundle import MANIFEST, VERSION, checksum_of, read_bundle, write_bundle
from autointerp.export.parquet import check_rows, read_label_table, read_rows
from autointerp.files import sha256_of

from .examples import COLUMNS, PROVENANCE, ROWS, contents, tables


def test_round_trip_gives_equal_rows_and_bytes(bundle: Path, plain_dir: Path) -> None:
    read = read_bundle(bundle)
    assert read.rows == tuple(sorted(ROWS, key=lambda r: r.index))
    assert read.provenance == PROVENANCE
    assert (bundle / "weights.safetensors").read_bytes() == (plain_dir / "weights.safetensors").read_bytes()
    assert read.config == {"kind": "topk", "d_in": 4}
    assert set(read.files) == {
        "cfg.json", "weights.safetensors", "labels.jsonl", "labels.parquet", "provenance.json", "README.md",
        "features.png", "rows/images.parquet", "rows/crops.parquet",
    }  # fmt: skip
    assert (read.schema, read.counts) == ("0001", {"images": 2, "crops": 3})
    for table in tables():
        (rows,) = read_rows(bundle / "rows" / f"{table.name}.parquet", table.columns)
        assert rows == list(table.rows)
        # The order of keys says which comes first.
        assert all(list(row["steps"]) == ["7", "0"] for row in rows if "steps" in row)
    assert read_label_table(bundle / "labels.parquet") == list(read.rows)
    check_rows(bundle / "rows", COLUMNS)
    assert all(sha256_of(bundle / name) == digest for name, digest in read.files.items())


def test_same_content_same_bytes(bundle: Path, tmp_path: Path, plain_dir: Path) -> None:
    again = write_bundle(tmp_path / "again", contents(plain_dir, ROWS[::-1], full=True))
    assert read_bundle(again).files == read_bundle(bundle).files


def test_an_older_bundle_is_replaced(bundle: Path, plain_dir: Path) -> None:
    write_bundle(bundle, contents(plain_dir, ROWS[:1]))
    assert len(read_bundle(bundle).rows) == 1
    assert not (bundle / "rows").exists()
    assert [p.name for p in bundle.parent.iterdir() if p.name.startswith(".out")] == []


def test_what_is_not_ours_is_left_alone(tmp_path: Path, plain_dir: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not a bundle"):
        write_bundle(target, contents(plain_dir))
    assert [p.name for p in target.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"):
        write_bundle(target / "thesis.tex", contents(plain_dir))
    (tmp_path / "empty").mkdir()
    assert read_bundle(write_bundle(tmp_path / "empty", contents(plain_dir)))


def test_written_whole_or_not_at_all(
    bundle: Path, plain_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = read_bundle(bundle)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autointerp.export.bundle.write_lines", full)
    for target in (bundle, tmp_path / "fresh"):
        with pytest.raises(AutointerpError, match="No space left"):
            write_bundle(target, contents(plain_dir))
    assert read_bundle(bundle) == before
    assert not (tmp_path / "fresh").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_failed_swap_keeps_the_old_one(bundle: Path, plain_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = read_bundle(bundle), os.replace

    def replace(source: Any, target: Any) -> None:
        if ".part-" in str(source):
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(AutointerpError, match="Input/output"):
        write_bundle(bundle, contents(plain_dir, ROWS[:1]))
    assert read_bundle(bundle) == before


def test_an_incomplete_dictionary_is_no_bundle(tmp_path: Path, plain_dir: Path) -> None:
    (plain_dir / "weights.safetensors").unlink()
    with pytest.raises(AutointerpError, match="lacks weights"):
        write_bundle(tmp_path / "o", contents(plain_dir))
    assert not (tmp_path / "o").exists()


def edit_manifest(bundle: Path, **changes: Any) -> None:
    """As one who knows how would."""
    path = bundle / MANIFEST
    manifest = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(manifest | {"checksum": checksum_of(manifest)}))


def test_damage_is_refused_in_one_line(bundle: Path, tmp_path: Path) -> None:
    def broken(name: str, damage: Any, match: str) -> None:
        copy = tmp_path / name
        shutil.copytree(bundle, copy)
        damage(copy)
        with pytest.raises(AutointerpError, match=match) as caught:
            read_bundle(copy)
        assert "\n" not in str(caught.value)
        assert caught.value.hint

    def flip(copy: Path) -> None:
        data = bytearray((copy / "weights.safetensors").read_bytes())
        data[-1] ^= 1
        (copy / "weights.safetensors").write_bytes(data)

    files = read_bundle(bundle).files
    (tmp_path / "secret").write_text("s")
    outside = {**files, "../secret": sha256_of(tmp_path / "secret")}
    absolute = {**files, str(tmp_path / "secret"): sha256_of(tmp_path / "secret")}
    broken("flipped", flip, "damaged: weights")
    broken("cut", lambda c: (c / "labels.jsonl").write_text('{"index": 1}\n'), "damaged: labels")
    broken("short", lambda c: (c / "cfg.json").unlink(), "lacks cfg.json")
    broken("unlisted", lambda c: edit_manifest(c, files={}), "lacks cfg.json")
    broken("nested", lambda c: (c / MANIFEST).write_text("[" * 200_000), "cannot read")
    broken("before the first", lambda c: edit_manifest(c, version=-3), "damaged: manifest")
    broken("newer", lambda c: edit_manifest(c, version=VERSION + 1), f"version {VERSION + 1}")
    broken("foreign", lambda c: edit_manifest(c, format="other"), "no bundle")
    broken("none", lambda c: (c / MANIFEST).unlink(), "no bundle")
    broken("garbage", lambda c: (c / MANIFEST).write_bytes(b"\xff{"), "cannot read")
    broken("climbs", lambda c: edit_manifest(c, files=outside), "outside itself")
    broken("absolute", lambda c: edit_manifest(c, files=absolute), "outside itself")
    for number, name in enumerate(("..\\secret", "C:secret", "a\nb", "")):
        broken(f"odd{number}", lambda c, name=name: edit_manifest(c, files={**files, name: "0"}), "outside itself")
    broken("uncounted", lambda c: edit_manifest(c, counts={"labels": 3}), "lacks rows/labels.parquet")

    def cut(copy: Path) -> None:
        path = copy / "rows" / "images.parquet"
        path.write_bytes(path.read_bytes()[:-20])

    broken("cut rows", cut, "damaged: rows/images")


def test_any_changed_byte_of_the_manifest_is_refused(bundle: Path) -> None:
    path = bundle / MANIFEST
    whole = path.read_bytes()
    meant = json.loads(whole)
    for at in range(len(whole)):
        changed = bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]])
        with suppress(ValueError):
            if json.loads(changed) == meant:
                continue  # A blank became another sign that JSON passes over.
        path.write_bytes(changed)
        with pytest.raises(AutointerpError):
            read_bundle(bundle)
    path.write_bytes(whole)
    assert read_bundle(bundle).counts


def test_a_bundle_of_the_second_version_is_read(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    del manifest["checksum"]
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "version": 2}))
    assert read_bundle(bundle).rows
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(AutointerpError, match="damaged: manifest"):
        read_bundle(bundle)


@pytest.mark.parametrize("what", ["cfg.json", MANIFEST, "rows"])
def test_a_link_is_refused_but_in_the_hubs_own_cache(
    bundle: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    repo = cache / "models--owner--name"
    (repo / "blobs").mkdir(parents=True)
    (repo / "snapshots").mkdir()
    kept = repo / "blobs" / "0a"
    os.replace(bundle / what, kept)
    (bundle / what).symlink_to(kept)
    with pytest.raises(AutointerpError, match="holds a link") as caught:
        read_bundle(bundle)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    os.replace(bundle, repo / "snapshots" / "1f")
    assert read_bundle(repo / "snapshots" / "1f").rows
    (repo / "snapshots" / "1f" / what).unlink()
    os.replace(kept, tmp_path / "elsewhere")
    (repo / "snapshots" / "1f" / what).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AutointerpError, match="holds a link"):
        read_bundle(repo / "snapshots" / "1f")
