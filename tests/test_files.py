"""Files are written whole or not at all, and a failure of the disk is one readable line."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import AutointerpError
from autointerp.files import disk_failure, replacing, sha256_of, whole_file


@given(st.lists(st.binary(max_size=100), max_size=4))
def test_the_hash_of_several_files_is_that_of_their_contents_in_a_row(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("hashed")
    paths = [folder / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert sha256_of(*paths) == hashlib.sha256(b"".join(contents)).hexdigest()


def test_a_file_larger_than_a_block_is_hashed_whole(tmp_path: Path) -> None:
    content = os.urandom(2**20 + 7)
    (tmp_path / "large").write_bytes(content)
    assert sha256_of(tmp_path / "large") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path, durable: bool) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with replacing(target, durable) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as partial:
            partial.write_text("ne")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    target = tmp_path / "file"
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(AutointerpError) as raised, whole_file(target, hint="free some space") as partial:
        partial.write_text("more than there is room for")
    assert str(raised.value) == f"cannot write {target}: No space left on device: free some space"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named_as_the_caller_names_it(tmp_path: Path) -> None:
    with (
        pytest.raises(AutointerpError, match="^cannot write the index: No such file or directory"),
        whole_file(tmp_path / "none" / "file", "the index") as partial,
    ):
        partial.write_text("")


def test_other_errors_pass_through_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file"):
        raise ZeroDivisionError
    with pytest.raises(AutointerpError, match="^the data are wrong"), whole_file(tmp_path / "file"):
        raise AutointerpError("the data are wrong")


def test_a_failure_of_the_disk_is_found_inside_an_error_of_a_library() -> None:
    full = OSError(28, "No space left on device")
    wrapped = RuntimeError("the writer failed")
    wrapped.__context__ = full  # as torch does
    assert disk_failure(wrapped) is full
    assert disk_failure(full) is full
    assert disk_failure(RuntimeError("of its own")) is None


def test_whether_a_folder_may_be_written(tmp_path):
    from tests.unwritable import read_only, run_as_others

    code = "import sys, pathlib; from autointerp.files import may_write; print(may_write(pathlib.Path(sys.argv[1])))"
    assert run_as_others("-c", code, tmp_path).stdout == "True\n"
    with read_only(tmp_path):
        assert run_as_others("-c", code, tmp_path).stdout == "False\n"


def test_a_folder_of_no_user_is_one_line(tmp_path, monkeypatch):
    from autointerp.errors import UsageError
    from autointerp.files import expanded

    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x"
    assert expanded("a/~b") == Path("a/~b")
    with pytest.raises(UsageError, match="no folder of a user ~nouser: write ./~nouser"):
        expanded("~nouser/x")
