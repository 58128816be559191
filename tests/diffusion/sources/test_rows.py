"""Rows of single files as prompts: tables as text, and Parquet, without the library `datasets`."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autointerp.diffusion.sources.prompts import load_prompts
from autointerp.diffusion.sources.rows import ParquetRows, TableRows, open_rows
from autointerp.errors import AutointerpError


@pytest.fixture(autouse=True)
def _without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)


@pytest.mark.parametrize(
    "content",
    [
        "prompt;seed\r\na red cup, new;3\r\na lamp;4\r\n",
        "sep=;\r\nPrompt;seed\r\na red cup, new;3\r\na lamp;4\r\n",
        "seed\tCaption\n3\ta red cup, new\n4\ta lamp\n",
        'text,seed\n"a red cup, new",3\n\n,5\n"a lamp",4\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, content: str, encoding: str) -> None:
    (tmp_path / "p.csv").write_bytes(content.encode(encoding))
    source = load_prompts("p.csv", tmp_path)
    assert [job.prompt for job in source.jobs(0, 2, 0)] == ["a red cup, new", "a lamp"]
    assert source.found().texts == ["a red cup, new", "a lamp"]
    assert source.found().what.startswith("2 prompts")
    assert source.found().notes == (f"columns beside {source.spec.rpartition(':')[2]} are not read: seed",)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.csv", "prompt\na lamp\na red cup, on a table\n", "p.csv, line 3: it has more cells"),
        ("p.csv", 'prompt,seed\n"a lamp,3\na cup,4\n', "line 2: a quote opens there and does not close"),
        ("p.csv", "prompt,prompt\na,b\n", "several columns that could be prompts (prompt, prompt)"),
        ("p.tsv", "prompt\tseed\na\n", "p.tsv, line 2: it has fewer cells"),
        ("p.csv", "a red cup\na lamp\n", "no column of prompts; its columns: a red cup"),
    ],
)
def test_rows_that_are_not_clear_are_refused(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(AutointerpError) as raised:
        load_prompts(name, tmp_path)
    assert says in str(raised.value)
    assert raised.value.hint
    # The settings of a workspace name the column, and are held to the same.
    with pytest.raises(AutointerpError):
        load_prompts(f"datasets:{tmp_path / name}:train:prompt").jobs(0, 1, 0)


def test_parquet_is_read_a_column_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"image": [b"x", b"y", b"z"], "Prompt": ["a cup", None, "a lamp"]}), path)
    source = load_prompts(str(path))
    assert [job.prompt for job in source.jobs(0, 3, 0)] == ["a cup", "a lamp", "a cup"]
    assert source.found().what == "2 prompts in 3 rows"
    rows = ParquetRows(path).only("Prompt")
    assert list(rows) == [{"Prompt": "a cup"}, {"Prompt": None}, {"Prompt": "a lamp"}]
    assert len(rows.only("there is none")) == 3
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(AutointerpError, match="it is a git LFS pointer"):
        load_prompts(str(path))
    path.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(AutointerpError, match="it is a ZIP archive"):
        load_prompts(str(path))


def test_the_name_of_a_file_says_what_opens_it(tmp_path: Path) -> None:
    (tmp_path / "p.TSV").write_text("prompt\na\n")
    assert isinstance(open_rows(tmp_path / "p.TSV"), TableRows)
    assert open_rows(tmp_path / "p.json") is None
    with pytest.raises(AutointerpError, match="cannot be read"):
        open_rows(tmp_path / "none.csv")
