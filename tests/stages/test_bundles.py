"""`export` and `import` of a bundle: every row comes back, the weights byte by byte, and what is hurt stays outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, update

from autointerp import Workspace
from autointerp.db.base import Base
from autointerp.db.models import Image, Label, Labeler, Score
from autointerp.export.bundle import MANIFEST, checksum_of, sha256_of
from autointerp.settings import HERE_ALONE
from autointerp.stages.carry import CARRIED

Cli = Callable[..., Any]
NAME = "shapes.mid.topk"


@pytest.fixture(scope="module")
def judged(labeled: Path, databases: Any, tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """The labeled workspace with a second labeler's labels, one of them a failure, and judged trials."""
    path = databases.copy(labeled, tmp_path_factory.mktemp("judged") / "w")
    assert cli("-w", path, "-q", "label", "--layer", "mid", "--labeler", "prompts", "-n", "5").code == 0
    assert cli("-w", path, "-q", "score", "--layer", "mid", "--method", "detection", "--judge", "oracle").code == 0
    opened = Workspace(path)
    with opened.db.session() as session:
        label = session.scalars(select(Label).order_by(Label.id.desc())).first()
        label.status, label.name, label.error = "failed", "", "no answer came"
    opened.close()
    return path


@pytest.fixture(scope="module")
def bundle(judged: Path, tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "out"
    done = cli("-w", judged, "-q", "export", "--layer", "mid", "-o", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    return out


def content(workspace: Path) -> dict[str, list[Any]]:
    """Every row that travels, in order, with what it refers to in the place of ids; without times."""
    opened = Workspace(workspace)
    found: dict[str, list[Any]] = {}
    with opened.db.session() as session:
        said: dict[str, dict[int, Any]] = {}
        for model in CARRIED:
            table = Base.metadata.tables[model.__tablename__]
            referring = {c.name: next(iter(c.foreign_keys)).column.table.name for c in table.columns if c.foreign_keys}
            rows: list[Any] = []
            for row in session.execute(select(*table.columns).order_by(table.c.id)).mappings():
                values = {k: v for k, v in row.items() if k != "id" and not k.endswith("_at")}
                for name, target in referring.items():
                    values[name] = said[target][values[name]] if values[name] is not None else None
                said.setdefault(table.name, {})[row["id"]] = (table.name, len(rows))
                rows.append(values)
            found[table.name] = rows
    opened.close()
    return found


def test_all_tables_are_carried_or_left_behind_on_purpose() -> None:
    carried = {model.__tablename__ for model in CARRIED}
    assert set(Base.metadata.tables) - carried == {"calls", "indexes", "checkpoints"}


def test_a_round_trip_gives_equal_rows_and_equal_bytes(
    judged: Path, bundle: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bundle says all itself: no model is looked at.
    monkeypatch.setattr("autointerp.stages.context.describe_model", None)
    done = cli("-w", tmp_path / "w", "import", bundle)
    assert done.code == 0 and done.out.startswith(f"{NAME}: topk, 64 latents, of bundle"), done
    before, after = content(judged), content(tmp_path / "w")
    assert all(before[table] for table in before), "a table without rows proves nothing"
    assert any(row["status"] == "failed" for row in before["labels"])
    assert any(row["picture"] for row in before["images"]) and any(row["activation_map"] for row in before["crops"])
    for table, rows in before.items():
        assert after[table] == rows, table
    for name in ("weights.safetensors", "cfg.json"):
        kept = (judged / "dictionaries" / NAME / name).read_bytes()
        assert (bundle / name).read_bytes() == kept == (tmp_path / "w" / "dictionaries" / NAME / name).read_bytes()


def test_what_was_restored_is_up_to_date_and_whole(bundle: Path, tmp_path: Path, cli: Cli, small_parts: None) -> None:
    """Its settings came along, so nothing is fitted or harvested anew; the words of its labels are found."""
    workspace = tmp_path / "w"
    assert cli("-w", workspace, "-q", "import", bundle).code == 0
    done = cli("-w", workspace, "db", "check")
    assert (done.code, done.out) == (0, ""), done
    plan = cli("-w", workspace, "label", "--layer", "mid", "--labeler", "clip", "--dry-run").out.splitlines()
    assert [line.split()[0] for line in plan if line.endswith("up to date")] == ["fit", "harvest", "label", "score"]
    name = next(r for r in map(json.loads, (bundle / "labels.jsonl").read_text().splitlines()) if r["name"])["name"]
    found = json.loads(cli("-w", workspace, "search", name, "--route", "words", "--json").out)
    assert found and found[0]["name"] == name
    again = cli("-w", workspace, "import", bundle)
    assert again.code == 0 and "nothing to do" in again.err
    second = cli("-w", workspace, "export", "--layer", "mid", "-o", tmp_path / "again")
    assert second.code == 0
    for file in ("labels.jsonl", "weights.safetensors", "features.png", "README.md"):
        assert (tmp_path / "again" / file).read_bytes() == (bundle / file).read_bytes()


def test_beside_what_is_there_images_and_labelers_are_shared(bundle: Path, workspace: Path, cli: Cli) -> None:
    """Another dictionary of the same images: the bundle's is stored under the next name, no picture twice."""
    opened = Workspace(workspace)
    from autointerp.db.models import Dictionary, Run

    with opened.db.session() as session:
        row = session.scalars(select(Dictionary)).one()
        row.identity = "0" * 64
        for run in session.scalars(select(Run)):
            run.identity = f"{run.id:064}"
    opened.close()
    before = content(workspace)
    done = cli("-w", workspace, "-q", "import", bundle)
    assert done.code == 0 and done.out.startswith(f"{NAME}-2:"), done
    after = content(workspace)
    assert after["images"] == before["images"]
    kinds = sorted(row["kind"] for row in after["labelers"])
    assert kinds == sorted({row["kind"] for row in before["labelers"]} | {"control", "prompts"})
    crops = len(before["crops"])
    assert len(after["crops"]) == 2 * crops
    for one, other in zip(after["crops"][:crops], after["crops"][crops:], strict=True):
        assert {**one, "feature_id": 0} == {**other, "feature_id": 0} and one["feature_id"] != other["feature_id"]
    # The next row goes on after those that came with ids of their own.
    assert cli("-w", workspace, "-q", "label", "--layer", "mid", "--labeler", "prompts", "-n", "3").code == 0


def test_only_labels_of_the_least_score_travel(judged: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    assert cli("-w", judged, "-q", "export", "--layer", "mid", "-o", out, "--min-score", "0.8").code == 0
    shown = sum(json.loads(line)["name"] != "" for line in (out / "labels.jsonl").read_text().splitlines())
    assert cli("-w", tmp_path / "w", "-q", "import", out).code == 0
    opened = Workspace(tmp_path / "w")
    with opened.db.session() as session:
        kept = session.scalars(select(Label)).all()
        assert 0 < len(kept) == shown
        assert {s.label_id for s in session.scalars(select(Score))} == {label.id for label in kept}
        assert session.scalars(select(Labeler)).all()
    opened.close()


def test_of_another_model_or_layer_labels_come_and_crops_stay(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("-w", tmp_path / "w", "import", bundle, "--layer", "early")
    assert done.code == 0 and "crops stay behind: they are of layer mid" in done.err, done
    row = json.loads(cli("-w", tmp_path / "w", "status", "--json").out)["dictionaries"][0]
    assert (row["layer"], row["crops"]) == ("early", 0) and row["labels"] > 0


def sign(bundle: Path, **changes: Any) -> None:
    """Change the manifest, and its checksum with it."""
    manifest = json.loads((bundle / MANIFEST).read_text()) | changes
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"checksum": checksum_of(manifest)}))


def hurt(bundle: Path, name: str, data: bytes) -> None:
    """Change a file, and the manifest with it."""
    (bundle / name).write_bytes(data)
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][name] = sha256_of(bundle / name)
    sign(bundle, **manifest)


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
        from autointerp.stages.carry import COLUMNS

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
    assert done.code == 1 and done.out == "" and done.err.count("\n") == 1 and said in done.err, done
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
    assert made.seed == 5 and {getattr(made, name) for name in ("base_url", "vlm", "database")} == {None}
    assert (made.labeler, made.embedder, made.text_embedder) == ("auto", "auto", "auto")


def test_a_picture_that_does_not_decode_is_one_line(judged: Path, databases: Any, tmp_path: Path, cli: Cli) -> None:
    databases.copy(judged, tmp_path / "w")
    opened = Workspace(tmp_path / "w")
    with opened.db.session() as session:
        session.execute(update(Image).values(picture=b"\0"))
    opened.close()
    done = cli("-w", tmp_path / "w", "-q", "export", "--layer", "mid", "-o", tmp_path / "out")
    assert done.code == 1 and done.err.count("\n") == 1 and "does not decode" in done.err, done


def test_one_labelers_bundle_carries_its_labels_alone(judged: Path, databases: Any, tmp_path: Path, cli: Cli) -> None:
    said = tmp_path / "mine.csv"
    said.write_text(f"feature,name\n{NAME}:3,my own name\n")
    databases.copy(judged, tmp_path / "w")
    assert cli("-w", tmp_path / "w", "labels", "import", said, "--by", "ada").code == 0
    out = tmp_path / "out"
    done = cli("-w", tmp_path / "w", "-q", "export", "--layer", "mid", "-o", out, "--labeler", "human")
    assert done.code == 0, done
    assert [one["kind"] for one in json.loads((out / "provenance.json").read_text())["labelers"]] == ["human"]
    assert cli("-w", tmp_path / "v", "-q", "import", out).code == 0
    assert [row["name"] for row in content(tmp_path / "v")["labels"]] == ["my own name"]


def test_rows_that_the_database_refuses_leave_nothing(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    from autointerp.export.parquet import Table, read_rows, write_rows
    from autointerp.stages.carry import COLUMNS

    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    path = copy / "rows" / "features.parquet"
    rows = [row for part in read_rows(path, COLUMNS["features"]) for row in part]
    write_rows(Table("features", COLUMNS["features"], [{**row, "state": "undead"} for row in rows]), path)
    hurt(copy, "rows/features.parquet", path.read_bytes())
    assert cli("-w", tmp_path / "w", "init").code == 0
    done = cli("-w", tmp_path / "w", "-q", "import", copy)
    assert done.code == 1 and done.err.count("\n") == 1, done
    assert not any((tmp_path / "w" / "dictionaries").glob("*"))
    opened = Workspace(tmp_path / "w")
    with opened.db.session() as session:
        assert all(session.execute(select(model.__table__.c.id)).first() is None for model in CARRIED)
        assert inspect(session.connection()).get_table_names()
    opened.close()


class FakeHub:
    """What the hub's client is asked for."""

    calls: list[tuple[str, dict[str, Any]]] = []

    def create_repo(self, repo: str, **given: Any) -> None:
        self.calls.append(("create", {"repo": repo, **given}))

    def upload_folder(self, **given: Any) -> None:
        files = sorted(p.relative_to(given["folder_path"]).as_posix() for p in given["folder_path"].rglob("*.*"))
        self.calls.append(("folder", {"repo": given["repo_id"], "files": files, "said": given["commit_message"]}))

    def upload_file(self, **given: Any) -> None:
        self.calls.append(("file", {"repo": given["repo_id"], "name": given["path_in_repo"]}))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    monkeypatch.setattr("huggingface_hub.HfApi", FakeHub)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    monkeypatch.setattr("autointerp.hub.why_not", lambda local=False: None)
    monkeypatch.setattr(FakeHub, "calls", [])
    return FakeHub.calls


def test_push_uploads_what_was_written(judged: Path, tmp_path: Path, cli: Cli, hub: Any) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("years of work")
    given = ("--push", "owner/name", "--private")
    done = cli("-w", judged, "-q", "export", "--layer", "mid", "-o", tmp_path / "out", *given)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path / 'out'}\nhttps://huggingface.co/owner/name\n"
    (created, folder) = hub
    assert created == ("create", {"repo": "owner/name", "private": True, "exist_ok": True})
    assert folder[0] == "folder" and {"README.md", "manifest.json", "rows/crops.parquet"} <= set(folder[1]["files"])
    assert folder[1]["said"].startswith(f"{NAME}, exported by autointerp")
    # A folder that may hold other things is not uploaded: the file alone is.
    hub.clear()
    done = cli("-w", judged, "-q", "export", "--layer", "mid", "-o", tmp_path / "notes", "--format", "jsonl", *given)
    assert done.code == 0 and hub[1] == ("file", {"repo": "owner/name", "name": "labels.jsonl"})


def test_what_the_hub_refuses_is_one_line(
    judged: Path, tmp_path: Path, cli: Cli, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("-o", tmp_path / "out", "--format", "neuronpedia")
    given = ("-w", judged, "-q", "export", "--layer", "mid", *out, "--push", "owner/name")

    def lost(self: FakeHub, **kwargs: Any) -> None:
        raise ConnectionError("reset\nby peer")

    monkeypatch.setattr(FakeHub, "upload_folder", lost)
    done = cli(*given)
    assert done.code == 1 and done.err.count("\n") == 1 and "cannot be reached: reset" in done.err
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    done = cli(*given)
    assert done.code == 2 and done.err.count("\n") == 1 and "HF_TOKEN" in done.err
    monkeypatch.setattr("autointerp.hub.why_not", lambda local=False: "HF_HUB_OFFLINE is set")
    done = cli(*given)
    assert done.code == 1 and done.err.count("\n") == 1 and "HF_HUB_OFFLINE is set" in done.err
    # The folder is there all the same.
    assert any((tmp_path / "out").rglob("release.jsonl"))
