"""Prompts from data sets, read by the library from local folders and tables: nothing here needs a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autointerp.diffusion.prompts import load_prompts, pin_prompts
from autointerp.errors import AutointerpError, UsageError

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits: five captions and an empty one, and three others."""
    path = tmp_path_factory.mktemp("set")
    rows = [f"caption {n}" for n in range(5)]
    datasets.Dataset.from_dict({"id": [*range(6)], "caption": [*rows[:2], " ", *rows[2:]]}).to_parquet(
        path / "train-00000.parquet"
    )
    datasets.Dataset.from_dict({"id": [1, 2, 3], "caption": ["x", "y", "z"]}).to_parquet(path / "test-00000.parquet")
    return path


def test_rows_are_numbered_prompts_and_come_again(folder: Path) -> None:
    source = load_prompts(f"datasets:{folder}")
    assert source.spec == f"datasets:{folder}:train:caption"
    jobs = source.jobs(0, 7, 30)
    assert [job.prompt[-1] for job in jobs] == list("0123401")
    assert [job.seed for job in jobs] == [*range(30, 37)] and source.jobs(3, 6, 30) == jobs[3:6]
    assert [job.prompt[-1] for job in source.held_out(2, 0, used=3)] == ["3", "4"]
    assert len(source.held_out(9, 0, used=5)) == 9
    assert [job.prompt for job in load_prompts(f"datasets:{folder}:test").jobs(0, 3, 0)] == ["x", "y", "z"]


def test_only_as_many_rows_are_read_as_are_wanted(folder: Path) -> None:
    source = load_prompts(f"datasets:{folder}:train:caption")
    read = 0
    rows = source._rows  # type: ignore[attr-defined]

    def counted():
        nonlocal read
        for row in rows():
            read += 1
            yield row

    source._rows = counted  # type: ignore[attr-defined]
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
        assert says in str(raised.value) and "\n" not in str(raised.value)


def test_the_hub_is_pinned_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AutointerpError, match="'owner/name' is no path, and HF_HUB_OFFLINE is set"):
        load_prompts("datasets:owner/name:train:text")
    # What is pinned needs no network until rows are read.
    sha = "ab" * 20
    pinned = load_prompts(f"datasets:owner/name@{sha}:train:text")
    assert pinned.spec == f"datasets:owner/name@{sha}:train:text" == pin_prompts(pinned.spec)
    assert load_prompts(f"datasets:owner/name@{'cd' * 20}:train:text").identity != pinned.identity
    with pytest.raises(AutointerpError, match="HF_HUB_OFFLINE is set"):
        pinned.jobs(0, 1, 0)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *address: [])
    for ask in (load_prompts("datasets:owner/name@" + sha + ":train:text", None, True).jobs, None):
        with pytest.raises(AutointerpError, match=r"loading\.local_files_only is set"):
            ask(0, 1, 0) if ask else pin_prompts("datasets:owner/name", True)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, revision: SimpleNamespace(sha=sha))
    assert load_prompts("datasets:owner/name:train:text").spec == pinned.spec


def test_without_the_library_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(AutointerpError, match=r"pip install 'autointerp\[datasets\]'"):
        load_prompts(f"datasets:{folder}")
    assert issubclass(UsageError, AutointerpError)
