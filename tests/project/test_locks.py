"""The lock file, with the kernel's lock and without one."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autointerp.errors import AutointerpError
from autointerp.project.locks import file_lock, is_held
from autointerp.project.settings import Settings
from autointerp.project.workspace import WorkspaceFolder

NO_FLOCK = """
import errno, fcntl, sys, time
def flock(file, how):
    raise OSError(errno.ENOSYS, "Function not implemented")
if sys.argv[2] == "without":
    fcntl.flock = flock
from pathlib import Path
from autointerp.project.locks import file_lock, is_held
with file_lock(Path(sys.argv[1]), "it"):
    print("in", flush=True)
    time.sleep(120)
"""


@pytest.fixture(params=["with", "without"])
def kernel(request, monkeypatch):
    if request.param == "without":

        def flock(file, how):
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


def test_one_holder_at_a_time_and_none_after_it_was_killed(kernel: str, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", NO_FLOCK, str(path), kernel]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        try:
            said = f"it is being written by process {holder.pid} on {socket.gethostname()}: wait"
            with pytest.raises(AutointerpError, match=said) as caught, file_lock(path, "it"):
                pass
            assert caught.value.retryable
            assert "delete" not in str(caught.value)
        finally:
            holder.kill()
    for _ in range(2):
        busy = pytest.raises(AutointerpError, match=f"process {os.getpid()} ")
        with file_lock(path, "it"), busy, file_lock(path, "it"):
            pass


def test_an_owner_that_is_not_this_machines_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    owner = tmp_path / ".lock.owner"
    owner.write_text("process 1234567 on elsewhere, started 77\n")
    busy = pytest.raises(AutointerpError, match=f"process 1234567 on elsewhere: .*delete {owner} if")
    with busy, file_lock(tmp_path / ".lock", "it"):
        pass
    # A number that another process has since: that one began at another time.
    owner.write_text(f"process {os.getpid()} on {socket.gethostname()}, started 1\n")
    with file_lock(tmp_path / ".lock", "it"):
        assert f"process {os.getpid()} on " in owner.read_text()
        assert "started 1\n" not in owner.read_text()
    assert not owner.exists()
    # One that was just made may yet be written; one that stays empty was cut off.
    owner.write_text("")
    with pytest.raises(AutointerpError, match="another process"), file_lock(tmp_path / ".lock", "it"):
        pass
    os.utime(owner, (time.time() - 60,) * 2)
    with file_lock(tmp_path / ".lock", "it"):
        pass


def test_two_workspaces_of_one_database_file_are_kept_apart(tmp_path: Path) -> None:
    one, other = (
        WorkspaceFolder.create(tmp_path / name, Settings(database=str(tmp_path / "both.db"))) for name in "ab"
    )
    with one.lock(), pytest.raises(AutointerpError, match=r"both\.db is being written by process"), other.lock():
        pass
    with other.lock():
        pass


def test_the_database_of_another_workspace_is_kept_from_its_owner(tmp_path: Path) -> None:
    owner = WorkspaceFolder.create(tmp_path / "a")
    guest = WorkspaceFolder.create(tmp_path / "b", Settings(database="../a/autointerp.db"))
    for first, second in ((owner, guest), (guest, owner)):
        with first.lock(), pytest.raises(AutointerpError, match="a is being written by process"), second.lock():
            pass


def test_a_full_disk_takes_the_lock_without_its_owners_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        first, second = (file_lock(tmp_path / "lock", "it") for _ in range(2))
        with first, pytest.raises(AutointerpError, match="written by another process"):
            second.__enter__()
    with file_lock(tmp_path / "lock", "it"):
        pass


def test_whether_a_lock_is_held_is_told_without_taking_it(kernel: str, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not is_held(path)
    command = [sys.executable, "-c", NO_FLOCK, str(path), kernel]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        try:
            assert is_held(path)
        finally:
            holder.kill()
        holder.wait()
        # The name of the holder that was killed is still there.
        assert not is_held(path)
    with file_lock(path, "it"):
        assert is_held(path)
    assert not is_held(path)


def test_a_holder_on_another_machine_is_taken_to_live(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("process 1 on some-other-machine\n")
    assert is_held(path)
