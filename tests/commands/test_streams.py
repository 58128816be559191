"""What is written reaches any terminal; a stream that is closed or breaks ends nothing in a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autointerp.commands.streams import OutputGoneError, prepare_streams, takes_unicode

SHOWN = ["show", "shapes-turbo.mid.topk:0"]


def shell(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `$A` is the command."""
    environment = {**os.environ, "A": f"{sys.executable} -m autointerp.cli", **variables}
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(command, capture_output=True, cwd=folder, env=environment, timeout=120, check=False)


@pytest.fixture(scope="module")
def named(labeled: Path, tmp_path_factory: pytest.TempPathFactory, databases: Any) -> Path:
    """A folder with a workspace `w` whose first feature has a name of many alphabets."""
    folder = tmp_path_factory.mktemp("named")
    databases.copy(labeled, folder / "w")
    line = '$A -w w label --feature shapes-turbo.mid.topk:0 --name "café → 円 ‘x’"'
    assert shell(line, folder).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "café → 円 ‘x’"),
        ("latin-1", "café -> ? 'x'"),
        ("cp1252", "café -> ? ‘x’"),
        ("ascii", "cafe -> ? 'x'"),
        ("utf-16", "café → 円 ‘x’"),
    ],
)
def test_rows_on_any_terminal(named: Path, encoding: str, shown: str) -> None:
    done = shell("$A -w w show shapes-turbo.mid.topk:0", named, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown in done.stdout.decode(encoding)
    as_json = shell("$A -w w show shapes-turbo.mid.topk:0 --json", named, PYTHONIOENCODING=encoding)
    text = as_json.stdout.decode(encoding)
    assert text.isascii() == (not encoding.startswith("utf"))
    assert json.loads(text)["label"]["name"] == "café → 円 ‘x’"


def test_rows_without_a_language(named: Path) -> None:
    variables = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = shell("unset PYTHONIOENCODING; $A -w w show shapes-turbo.mid.topk:0", named, **variables)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "cafe -> ? 'x'" in done.stdout.decode("ascii")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("$A -w w status >&-", 0, ""),
        ("$A -w w status >&- 2>&- <&-", 0, ""),
        ("$A -w w nosuch 2>&-", 2, ""),
        ("$A -w w show shapes-turbo.mid.topk:0 --json | true", 0, ""),
        ("$A -w w nosuch 2>&1 | true", 2, ""),
        ("$A -w w status > /dev/full", 1, "error: standard output cannot be written (No space left on device)"),
        ("$A -w w labels export labels.csv 2> /dev/full", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full(named: Path, line: str, code: int, said: str) -> None:
    done = shell(line, named)
    assert done.returncode == code
    assert done.stderr.decode().startswith(said)
    assert done.stderr.count(b"\n") == (1 if said else 0)


def test_work_goes_on_when_the_terminal_is_gone(named: Path) -> None:
    """The reader of the notes ends at once; the labels are all made."""
    line = "{ $A -w w label --layer mid --labeler prompts; echo $? > code; } 2>&1 | true"
    shell(line, named)
    assert (named / "code").read_text() == "0\n"
    again = shell("$A -w w label --layer mid --labeler prompts", named)
    assert b"nothing to do" in again.stderr


def test_a_closed_stream_leaves_its_number_to_no_file(named: Path) -> None:
    code = (
        "import os; from autointerp.commands.streams import prepare_streams; prepare_streams();"
        "import sys; os.write(2, str((os.open('/dev/null', 0) > 2, sys.stdout.isatty())).encode())"
    )
    done = shell(f'{sys.executable} -c "{code}" >&- <&-', named)
    assert done.stderr == b"(True, False)"


def test_names_that_are_no_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    W = "$A -w $'caf\\xe9'"
    assert shell(f"{W} init", tmp_path).stdout == b"caf\xe9\n"
    assert shell(f"{W} db path", tmp_path, PYTHONIOENCODING="utf-8").stdout == b"caf\xe9/autointerp.db\n"
    status = shell(f"{W} status --json", tmp_path, PYTHONIOENCODING="utf-8")
    assert json.loads(status.stdout)["workspace"] == "caf\udce9"
    for command in ("init -w x --images-dir $'caf\\xe9'", "init -w x --prompts $'caf\\xe9/x.txt'"):
        done = shell(f"$A {command}", tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "command",
    [
        "-w ~nouser/x status",
        "-w w export --layer mid -o ~nouser/x",
        "-w w export --layer mid --out=~nouser/x",
        "-w w db copy ~nouser/x",
        "-w w db backup ~nouser/x",
        "layers --model ~nouser/m",
        "-w x init --prompts ~nouser/p.txt",
        "-w x init --images-dir ~nouser/p",
        "-w w labels import ~nouser/l.csv",
        "-w w import ~nouser/p --layer mid",
        "-w w search --image ~nouser/p.png",
        "-w w explain ~nouser/p.png",
    ],
)
def test_folders_of_users_that_do_not_exist(
    labeled: Path, tmp_path: Path, cli: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").symlink_to(labeled)
    done = cli(*command.split())
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "nouser" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


class Broken(io.BytesIO):
    """A file on a terminal that is gone."""

    def write(self, _data: Any) -> int:
        raise OSError(5, "Input/output error")

    def fileno(self) -> int:
        raise OSError(9, "no file")


def test_notes_are_dropped_and_data_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(Broken(), encoding="latin-1"))
    monkeypatch.setattr(sys, "stdin", None)
    assert not takes_unicode()
    prepare_streams()
    print("a note", file=sys.stderr, flush=True)
    with pytest.raises(OutputGoneError, match="Input/output error"):
        print("data", flush=True)
    assert sys.stdin.read() == ""
    sys.stdin.close()
