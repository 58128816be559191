from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from autointerp.errors import AutointerpError, UsageError
from autointerp.export.bundle import MANIFEST, VERSION, checksum_of, read_bundle, sha256_of, write_bundle
from autointerp.export.card import safe_cell
from autointerp.export.labeled import LabeledDictionary
from autointerp.export.parquet import Column, Table, check_rows, read_label_table, read_rows, write_label_table
from autointerp.export.rows import ExportRow, ExportScore, read_lines, write_lines
from autointerp.export.single import write_file

PROVENANCE = {"name": "shapes.mid.topk", "model": "shapes", "layer": "mid", "hookpoint": "transformer.x.1"}
ROWS = [
    ExportRow(
        index=1,
        name="red circle",
        explanation="Fires on red circles.",
        status="ok",
        confidence=0.9,
        labeler="clip",
        scores=(ExportScore(method="embedding", value=0.97, ci_low=0.9, ci_high=1.0),),
        density=0.01,
        max_activation=3.5,
    ),
    ExportRow(index=0, name="<script>|x", explanation="über `code`\u202e", status="ok", confidence=0.4, labeler="clip"),
    ExportRow(index=2, status="uninterpretable", labeler="clip", density=0.2),
    ExportRow(index=3, state="dead"),
]


COLUMNS = {
    "images": (Column("id", "int"), Column("picture", "bytes"), Column("steps", "json")),
    "crops": (Column("id", "int"), Column("image_id", "int", refers="images"), Column("cell", "int", null=True)),
}


def tables() -> list[Table]:
    images = [{"id": i, "picture": bytes([i]) * 9, "steps": {"7": 0.5, "0": 0.25}} for i in (3, 5)]
    crops = [{"id": i, "image_id": 3 + 2 * (i % 2), "cell": None if i else 4} for i in range(3)]
    return [Table("images", COLUMNS["images"], images), Table("crops", COLUMNS["crops"], crops)]


@pytest.fixture
def dictionary_dir(tmp_path: Path) -> Path:
    """A random dictionary as the package writes it."""
    from autointerp.dictionaries.baselines import RandomDirections
    from autointerp.dictionaries.storage import save_dictionary

    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    dictionary = RandomDirections(directions.T.contiguous(), torch.zeros(6), directions, torch.zeros(4), k=2)
    folder = tmp_path / "dictionary"
    save_dictionary(dictionary, folder, PROVENANCE)
    return folder


@pytest.fixture
def plain_dir(tmp_path: Path) -> Path:
    """The two files of a dictionary, whatever is in them."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps({"kind": "topk", "d_in": 4}))
    save_file({"W_dec": torch.eye(4)}, str(folder / "weights.safetensors"))
    return folder


@pytest.fixture
def bundle(tmp_path: Path, plain_dir: Path) -> Path:
    return write_bundle(tmp_path / "out", plain_dir, PROVENANCE, ROWS, tables(), "0001", b"picture")


def test_round_trip_gives_equal_rows_and_bytes(bundle: Path, plain_dir: Path) -> None:
    read = read_bundle(bundle)
    assert read.rows == tuple(sorted(ROWS, key=lambda r: r.index)) and read.provenance == PROVENANCE
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
    again = write_bundle(tmp_path / "again", plain_dir, PROVENANCE, ROWS[::-1], tables(), "0001", b"picture")
    assert read_bundle(again).files == read_bundle(bundle).files


def test_card_tells_figures_and_escapes(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    for figure in ("features | 4", "named | 2", "found uninterpretable | 1", "not labeled | 1", "never fired | 1"):
        assert f"{figure} |" in card
    assert "| mean embedding score, of 1 labels | 0.970 |" in card and "**hookpoint**: transformer.x.1" in card
    assert "1 of 2 names have none" in card and "2 of 4 features have no name" in card and "(features.png)" in card
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "autointerp" and "base_model" not in front
    assert "<script>" not in card and "| 1 | red circle | Fires on red circles. | 0.97 |" in card
    assert "acts: [n, 4]" in card and "{{" not in card
    assert safe_cell("a|b\n<i>") == "a\\|b &lt;i&gt;"


def test_an_older_bundle_is_replaced(bundle: Path, plain_dir: Path) -> None:
    write_bundle(bundle, plain_dir, PROVENANCE, ROWS[:1])
    assert len(read_bundle(bundle).rows) == 1 and not (bundle / "rows").exists()
    assert [p.name for p in bundle.parent.iterdir() if p.name.startswith(".out")] == []


def test_what_is_not_ours_is_left_alone(tmp_path: Path, plain_dir: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not a bundle"):
        write_bundle(target, plain_dir, PROVENANCE, ROWS)
    assert [p.name for p in target.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"):
        write_bundle(target / "thesis.tex", plain_dir, PROVENANCE, ROWS)
    (tmp_path / "empty").mkdir()
    assert read_bundle(write_bundle(tmp_path / "empty", plain_dir, PROVENANCE, ROWS))


def test_written_whole_or_not_at_all(
    bundle: Path, plain_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = read_bundle(bundle)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autointerp.export.bundle.write_lines", full)
    for target in (bundle, tmp_path / "fresh"):
        with pytest.raises(AutointerpError, match="No space left"):
            write_bundle(target, plain_dir, PROVENANCE, ROWS)
    assert read_bundle(bundle) == before and not (tmp_path / "fresh").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_failed_swap_keeps_the_old_one(bundle: Path, plain_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = read_bundle(bundle), os.replace

    def replace(source: Any, target: Any) -> None:
        if ".part-" in str(source):
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(AutointerpError, match="Input/output"):
        write_bundle(bundle, plain_dir, PROVENANCE, ROWS[:1])
    assert read_bundle(bundle) == before


def test_an_incomplete_dictionary_is_no_bundle(tmp_path: Path, plain_dir: Path) -> None:
    (plain_dir / "weights.safetensors").unlink()
    with pytest.raises(AutointerpError, match="lacks weights"):
        write_bundle(tmp_path / "o", plain_dir, PROVENANCE, ROWS)
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
        assert "\n" not in str(caught.value) and caught.value.hint

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


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"image_id": 4}, "refers to rows of images that are not there"),
        ({"image_id": None}, "image_id is missing"),
        ({"id": 1}, "an id of their own"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    from autointerp.export.parquet import write_rows

    images, crops = tables()
    loose = tuple(Column(c.name, c.type, True) for c in crops.columns)
    write_rows(images, tmp_path / "images.parquet")
    write_rows(
        Table("crops", loose, [*crops.rows, {"id": 9, "image_id": 3, "cell": 1, **change}]), tmp_path / "crops.parquet"
    )
    with pytest.raises(AutointerpError, match=match) as caught:
        check_rows(tmp_path, COLUMNS)
    assert "\n" not in str(caught.value)
    (tmp_path / "crops.parquet").write_bytes(b"PAR1")
    with pytest.raises(AutointerpError, match="cannot be read"):
        check_rows(tmp_path, COLUMNS)


def test_labels_alone(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a" / "b" / "labels.jsonl", lambda path: write_lines(ROWS, path))
    assert list(read_lines(path)) == ROWS and [p.name for p in path.parent.iterdir()] == ["labels.jsonl"]
    assert "über" in path.read_text(encoding="utf-8")
    write_file(path, lambda path: write_lines(ROWS[:1], path))
    assert list(read_lines(path)) == ROWS[:1]
    with pytest.raises(UsageError, match="is a file"):
        write_file(path / "labels.jsonl", lambda path: write_lines(ROWS, path))
    table = write_file(path.parent / "labels.parquet", lambda path: write_label_table(ROWS, path))
    assert read_label_table(table) == ROWS


@pytest.mark.parametrize("line", ["{", '{"index": -1}', '{"index": 1, "scores": 3}', "[]"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labels.jsonl"
    write_lines(ROWS, path)
    with path.open("a") as file:
        file.write("\n" + line + "\n")
    with pytest.raises(AutointerpError, match="line 6"):
        list(read_lines(path))


def test_labeled_dictionary(tmp_path: Path, dictionary_dir: Path) -> None:
    from autointerp.dictionaries.storage import load_dictionary

    out = write_bundle(tmp_path / "out", dictionary_dir, PROVENANCE, ROWS)
    labeled, plain = LabeledDictionary.load(out), load_dictionary(dictionary_dir)
    acts = torch.randn(10, 4)
    code = labeled.encode(acts)
    assert torch.equal(code.latent_acts, plain.encode(acts).latent_acts)
    assert torch.equal(labeled.decode(code), plain.decode(code))
    assert labeled.label(1).name == "red circle" and labeled.label(5).status == "unlabeled"
    assert [r.index for r in labeled.find("CIRCLE red")] == [1] and labeled.find("whale") == []
    assert [r.index for r in labeled.find("fires on red")] == [1]
    # Whole words: "red" is no part of "checkered".
    assert labeled.find("ire") == [] and labeled.find("re") == [] and labeled.find("red, circle!")
    with pytest.raises(UsageError, match="n is 0"):
        labeled.find("red", n=0)
    with pytest.raises(UsageError, match=r"activations \[2, 3\] do not fit: give \[n, "):
        labeled.encode(torch.zeros(2, 3))
    with pytest.raises(AutointerpError, match="hf:owner/name"):
        LabeledDictionary.load("owner/name")
    for index in (-1, labeled.num_latents):
        with pytest.raises(UsageError, match="no feature"):
            labeled.label(index)
    with pytest.raises(UsageError, match="empty"):
        labeled.find("  ")
