"""An imported dictionary is stored with its labels, and used like any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select

from autointerp import Workspace
from autointerp.db.queries.carrying import CARRIED

from ..bundles import Cli, hurt
from ..files import D, K, N, labels, saelens


def test_import_makes_a_workspace_and_says_what_it_assumed(tmp_path: Path, cli: Cli, query: Any) -> None:
    done = cli("-w", tmp_path / "w", "import", saelens(tmp_path / "sae"), "--layer", "mid")
    assert (done.code, done.out) == (0, "shapes-turbo.mid.topk: topk, 24 latents, of saelens\n"), done
    assert ": the files do not say, it is what the workspace reads" in done.err
    assert "model shapes-turbo: the files do not say" in done.err
    columns = "kind, layer, signal, d_in, num_latents, k, images, config"
    ((*values, config),) = query(tmp_path / "w", f"SELECT {columns} FROM dictionaries")
    signal = next(row["signal"] for row in json.loads(cli("layers", "--json").out) if row["alias"] == "mid")
    assert values == ["topk", "mid", signal, D, N, K, 0]
    kept = json.loads(config)
    assert kept["import"]["format"] == "saelens"
    assert len(kept["import"]["assumed"]) == 2
    assert set(kept["import"]["files"]) == {"cfg.json", "sae_weights.safetensors"}
    assert kept["fit"]["images"] == 0
    assert kept["fit"]["latents"] == N
    assert kept["fit_identity"]
    again = cli("-w", tmp_path / "w", "import", tmp_path / "sae", "--layer", "mid")
    assert again.code == 0
    assert "nothing to do" in again.err
    assert query(tmp_path / "w", "SELECT count(*) FROM dictionaries") == [(1,)]
    other = cli("-w", tmp_path / "w", "import", tmp_path / "sae", "--layer", "late")
    assert other.out.startswith("shapes-turbo.late.topk:")


def test_labels_come_along(made: Path, cli: Cli, query: Any) -> None:
    files = saelens(made.parent / "sae")
    labels(files)
    done = cli("-w", made, "import", files, "--layer", "mid")
    assert done.out == "shapes-turbo.mid.topk: topk, 24 latents, of saelens, 2 labels\n"
    shown = json.loads(cli("-w", made, "show", "shapes-turbo.mid.topk:2", "--json").out)
    assert shown["label"]["name"] == "red circle"
    assert shown["label"]["labeler"] == "import"
    shown = json.loads(cli("-w", made, "show", "shapes-turbo.mid.topk:7", "--json").out)
    assert shown["label"]["labeler"] == "clip"
    assert shown["scores"][0]["value"] == 0.9
    found = json.loads(cli("-w", made, "search", "red circle", "--json").out)
    assert found
    assert found[0]["feature"] == "shapes-turbo.mid.topk:2"
    # Their labeler is not ours of that kind, whose own labels are still to be made.
    assert all(digest for (digest,) in query(made, "SELECT config_hash FROM labelers"))
    out = made.parent / "out"
    assert cli("-w", made, "export", "--layer", "mid", "-o", out, "--format", "sparsify").code == 0
    rows = {r["index"]: r for r in map(json.loads, (out / "labels.jsonl").read_text().splitlines())}
    assert rows[2]["name"] == "red circle"
    assert rows[5]["status"] == "uninterpretable"
    assert rows[9]["status"] == "unlabeled"


def test_rows_that_the_database_refuses_leave_nothing(bundle: Path, tmp_path: Path, cli: Cli) -> None:
    from autointerp.export.parquet import Table, read_rows, write_rows
    from autointerp.transfer.bundle_rows import COLUMNS

    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    path = copy / "rows" / "features.parquet"
    rows = [row for part in read_rows(path, COLUMNS["features"]) for row in part]
    write_rows(Table("features", COLUMNS["features"], [{**row, "state": "undead"} for row in rows]), path)
    hurt(copy, "rows/features.parquet", path.read_bytes())
    assert cli("-w", tmp_path / "w", "init").code == 0
    done = cli("-w", tmp_path / "w", "-q", "import", copy)
    assert done.code == 1, done
    assert done.err.count("\n") == 1, done
    assert not any((tmp_path / "w" / "dictionaries").glob("*"))
    opened = Workspace(tmp_path / "w")
    with opened.db.session() as session:
        assert all(session.execute(select(model.__table__.c.id)).first() is None for model in CARRIED)
        assert inspect(session.connection()).get_table_names()
    opened.close()


def test_an_import_is_harvested_and_labeled_and_keeps_its_labels(
    tmp_path: Path, cli: Cli, small_parts: None, query: Any
) -> None:
    files = saelens(tmp_path / "sae")
    labels(files)
    workspace = tmp_path / "w"
    workspace.mkdir()
    settings = (
        'model = "shapes-turbo"\nimages = 16\nsteps = 2\ncapture_steps = [1]\nbatch_size = 8\ndtype = "float32"\n'
    )
    (workspace / "autointerp.toml").write_text(settings)
    assert cli("-w", workspace, "import", files, "--layer", "mid").code == 0
    done = cli("-w", workspace, "-q", "label", "--layer", "mid", "--labeler", "prompts")
    assert done.code == 0, done
    row = json.loads(cli("-w", workspace, "status", "--json").out)["dictionaries"]
    assert [r["dictionary"] for r in row] == ["shapes-turbo.mid.topk"]
    assert row[0]["live"] > 0
    assert row[0]["crops"] > 0
    kept = query(workspace, "SELECT name FROM labels JOIN labelers ON labelers.id = labeler_id WHERE kind = 'import'")
    assert kept == [("red circle",)]


def test_a_harvest_reads_the_signal_of_the_import(tmp_path: Path, cli: Cli, small_parts: None, query: Any) -> None:
    """Not that of the workspace: another signal is another tensor."""
    workspace, strongest = tmp_path / "w", {}
    workspace.mkdir()
    settings = 'model = "shapes-turbo"\nimages = 8\nsteps = 2\ncapture_steps = [1]\nbatch_size = 8\ndtype = "float32"\n'
    (workspace / "autointerp.toml").write_text(settings)
    for signal in ("output", "update"):
        more = ["--layer", "mid", "--signal", signal, "--name", signal]
        assert cli("-w", workspace, "import", saelens(tmp_path / signal), *more).code == 0
        assert cli("-w", workspace, "-q", "harvest", "--layer", "mid", "--dictionary", signal).code == 0
        found = "SELECT max(max_activation) FROM features JOIN dictionaries d ON d.id = dictionary_id WHERE d.name = ?"
        ((strongest[signal],),) = query(workspace, found, signal)
    assert strongest["output"] != pytest.approx(strongest["update"], rel=1e-3)


def test_what_was_assumed_stays_with_the_dictionary(tmp_path: Path, cli: Cli) -> None:
    """Stderr is read once; status, show, exports and what is imported from them say it for good."""
    files = saelens(tmp_path / "sae")
    config = json.loads((files / "cfg.json").read_text())
    del config["apply_b_dec_to_input"]
    (files / "cfg.json").write_text(json.dumps(config))
    labels(files)
    first = tmp_path / "a"
    done = cli("-w", first, "import", files, "--layer", "mid")
    said = "apply_b_dec_to_input is not said: b_dec is subtracted before encoding"
    assert said in done.err
    assert said in cli("-w", first, "status").out
    (row,) = json.loads(cli("-w", first, "status", "--json").out)["dictionaries"]
    assert any(said in note for note in row["assumed"])
    assert said in cli("-w", first, "show", "shapes-turbo.mid.topk:2").out
    assert json.loads(cli("-w", first, "show", "shapes-turbo.mid.topk:2", "--json").out)["assumed"] == row["assumed"]
    for form in ("bundle", "sparsify"):
        out = tmp_path / form
        assert cli("-w", first, "-q", "export", "--layer", "mid", "-o", out, "--format", form).code == 0
        assert cli("-w", tmp_path / f"of-{form}", "import", out).code == 0
        (back,) = json.loads(cli("-w", tmp_path / f"of-{form}", "status", "--json").out)["dictionaries"]
        assert set(row["assumed"]) <= set(back["assumed"])
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "Assumed when it was imported from another tool's files: apply\\_b\\_dec\\_to\\_input is not said" in card
