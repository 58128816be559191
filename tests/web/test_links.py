"""Addresses of the view."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

from autointerp.web import links
from autointerp.web.links import feature_link


def test_names_are_quoted() -> None:
    assert doctest.testmod(links).failed == 0
    assert feature_link("a b/../c?d#e:1") == "/feature/a%20b%2F..%2Fc%3Fd%23e:1"


def test_the_command_line_prints_the_link_that_the_server_answers(client: Any, cli: Any, labeled: Path) -> None:
    done = cli("-w", labeled, "show", "shapes-turbo.mid.topk:3", "--link")
    assert (done.code, done.out) == (0, "http://127.0.0.1:8765/feature/shapes-turbo.mid.topk:3\n")
    assert client.get(done.out.strip().removeprefix("http://127.0.0.1:8765")).status_code == 200
    assert cli("-w", labeled, "show", "shapes-turbo.mid.topk:9999", "--link").code == 2
