"""The server as a process: where it listens, what it prints, and how it ends."""

from __future__ import annotations

import doctest
import os
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.web import serving
from autointerp.web.serving import bind


def test_a_port_that_is_taken_is_one_line() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(AutointerpError, match=f"port {port} is taken: .*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "a b", "\u00df" * 80])
def test_a_host_that_is_not_this_machine_is_one_line(host: str) -> None:
    with pytest.raises(UsageError, match="no address of this machine"):
        bind(host, 0)


def test_examples() -> None:
    assert doctest.testmod(serving).failed == 0


def test_without_the_extra_it_says_what_to_install(labeled: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = cli("-w", labeled, "serve", "--port", "0")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: the browser view is not installed: pip install 'autointerp[web]'\n"


class Server:
    """`autointerp serve` as a process of its own."""

    def __init__(self, workspace: Path, *options: str) -> None:
        command = [sys.executable, "-m", "autointerp", "-w", str(workspace), "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        assert ready, "it said nothing"
        self.address = self.process.stdout.readline().strip()

    def end(self, how: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_prints_one_address_answers_and_ends_by_ctrl_c(labeled: Path) -> None:
    server = Server(labeled)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", server.address)
        assert status(server.address) == 200
        assert status(server.address + "features") == 200
    finally:
        code, out, err = server.end()
    assert (code, out) == (0, "")
    assert err.splitlines() == ["open this address in a browser; Ctrl-C ends the view", "the view is closed"]


def test_another_address_prints_a_token_once_and_needs_it(labeled: Path) -> None:
    server = Server(labeled, "--host", "0.0.0.0", "-q")
    try:
        found = re.fullmatch(r"http://[^:/]+:(\d+)/\?token=([\w-]{40,})", server.address)
        assert found is not None
        there = f"http://127.0.0.1:{found[1]}/"
        assert status(there) == 401
        assert status(f"{there}?token={found[2][:-1]}x") == 401
        asked = urllib.request.Request(there, headers={"authorization": f"Bearer {found[2]}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            text = answer.read().decode()
        assert found[2] not in text
    finally:
        code, out, err = server.end(signal.SIGTERM)
    assert found[2] not in out + err
    assert "Traceback" not in err
    assert code in (0, -signal.SIGTERM)


def test_the_command_fails_in_one_line(labeled: Path, cli: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = cli("-w", labeled, "serve", "--port", str(taken.getsockname()[1]))
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "is taken" in done.err
    nowhere = cli("-w", tmp_path / "none", "serve", "--port", "0")
    assert (nowhere.code, nowhere.err.count("\n")) == (1, 1)
    assert os.fspath(tmp_path) in nowhere.err
