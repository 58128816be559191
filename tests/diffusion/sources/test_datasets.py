"""Prompts from data sets, read by the library from local folders and tables: nothing here needs a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autointerp.diffusion.sources.datasets import DatasetPrompts
from autointerp.diffusion.sources.prompts import load_prompts, pin_prompts
from autointerp.errors import AutointerpError

datasets = pytest.importorskip("datasets")


def test_rows_are_numbered_prompts_and_come_again(folder: Path) -> None:
    source = load_prompts(f"datasets:{folder}")
    assert source.spec == f"datasets:{folder}:train:caption"
    jobs = source.jobs(0, 7, 30)
    assert [job.prompt[-1] for job in jobs] == list("0123401")
    assert [job.seed for job in jobs] == [*range(30, 37)]
    assert source.jobs(3, 6, 30) == jobs[3:6]
    assert [job.prompt[-1] for job in source.held_out(2, 0, used=3)] == ["3", "4"]
    assert len(source.held_out(9, 0, used=5)) == 9
    assert [job.prompt for job in load_prompts(f"datasets:{folder}:test").jobs(0, 3, 0)] == ["x", "y", "z"]


def test_only_as_many_rows_are_read_as_are_wanted(folder: Path) -> None:
    source = load_prompts(f"datasets:{folder}:train:caption")
    read = 0
    assert isinstance(source, DatasetPrompts)
    rows = source.rows

    def counted():
        nonlocal read
        for row in rows():
            read += 1
            yield row

    source = DatasetPrompts(source.address, counted)
    source.jobs(0, 2, 0)
    assert read == 2
    source.jobs(1, 3, 0)
    assert read == 4  # one of them is empty


def test_identity_is_that_of_content_split_and_column(folder: Path, tmp_path: Path) -> None:
    identity = load_prompts(f"datasets:{folder}:train:caption").identity
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert load_prompts(f"datasets:{copy}").identity == identity
    assert load_prompts(f"datasets:{folder}:test").identity != identity
    datasets.Dataset.from_dict({"caption": ["other"]}).to_parquet(copy / "train-00000.parquet")
    assert load_prompts(f"datasets:{copy}").identity != identity


def test_tables_are_named_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('text,likes\na red house,3\n"two cats, asleep",4\n')
    source = load_prompts("p.csv", tmp_path)
    assert [job.prompt for job in source.jobs(0, 2, 0)] == ["a red house", "two cats, asleep"]
    assert pin_prompts(str(tmp_path / "p.csv")) == f"datasets:{tmp_path / 'p.csv'}:train:text"


def test_what_could_be_meant_is_listed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "both.csv").write_text("prompt,caption\na,b\n")
    (tmp_path / "none.csv").write_text("title,likes\na,3\n")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    for spec, says in {
        f"datasets:{folder}:trian": "did you mean 'train'",
        f"datasets:{folder}:train:captoin": "did you mean 'caption'",
        f"datasets:{folder}:train:id": "id holds a int, no text",
        str(tmp_path / "both.csv"): "several columns that could be prompts (prompt, caption)",
        str(tmp_path / "none.csv"): "its columns: title, likes",
        str(tmp_path / "torn.parquet"): "torn.parquet cannot be read",
        str(tmp_path / "gone.csv"): "there is no prompts file",
        "datasets:": "names no data set",
    }.items():
        with pytest.raises(AutointerpError) as raised:
            load_prompts(spec).jobs(0, 1, 0)
        assert says in str(raised.value)
        assert "\n" not in str(raised.value)


def test_tables_of_a_folder_are_held_to_the_width_of_their_first_line(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("prompt\na red cup, on a table\na lamp, on a beach\n")
    with pytest.raises(AutointerpError, match=r"train\.csv, line 2: it has more cells"):
        load_prompts(f"datasets:{tmp_path}").jobs(0, 1, 0)
