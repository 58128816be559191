"""Values of options: a size, a span of shares, and options that stand before or after a command."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from autointerp.commands.options import Floor, PictureSize, Span, combined

Cli = Callable[..., Any]


@pytest.mark.parametrize(("text", "size"), [("96", 96), ("128x96", "128x96"), ("96x96", 96)])
def test_a_size_is_a_square_or_width_by_height(text: str, size: Any) -> None:
    assert PictureSize().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["0", "96x", "wide", "-5", "96x96x3"])
def test_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter):
        PictureSize().convert(text, None, None)


@pytest.mark.parametrize(("text", "span"), [("0.1:0.2", (0.1, 0.2)), (":0.2", (0, 0.2)), ("0.1:", (0.1, 1))])
def test_a_span_may_lack_an_end(text: str, span: tuple[float, float]) -> None:
    assert Span().convert(text, None, None) == span


@pytest.mark.parametrize("text", ["0.1", "0.2:0.1", "a:b", "0:2", "-1:1", ""])
def test_no_span(text: str) -> None:
    with pytest.raises(click.BadParameter, match="A:B"):
        Span().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "floor"),
    [
        ("0.8", (0.8, "")),
        ("gain=-0.5", (-0.5, "gain")),
        ("fuzzing=1", (1.0, "fuzzing")),
        ("detection=.7", (0.7, "detection")),
    ],
)
def test_a_floor_may_name_its_score(text: str, floor: tuple[float, str]) -> None:
    found = Floor().convert(text, None, None)
    assert (found.value, found.method) == floor


@pytest.mark.parametrize("text", ["1.5", "-0.1", "gain=-1.1", "detection=-0.5", "gain", "gain=", "gain=nan"])
def test_no_floor(text: str) -> None:
    with pytest.raises(click.BadParameter, match="METHOD=X"):
        Floor().convert(text, None, None)


def test_a_floor_of_no_score_names_the_nearest() -> None:
    with pytest.raises(click.BadParameter, match="gain"):
        Floor().convert("gian=0.5", None, None)


def test_a_bare_floor_says_which_score_it_is_of(workspace: Path, cli: Cli) -> None:
    search = ("-w", workspace, "search", "red", "--min-score", "0.1")
    assert "--min-score 0.1 is of embedding; name another score as in --min-score gain=0.1" in cli(*search).err
    with contextlib.closing(sqlite3.connect(workspace / "autointerp.db")) as database, database:
        database.execute("UPDATE scores SET method = 'gain'")
    done = cli(*search)
    assert "--min-score 0.1 is of detection, else embedding, which no label here has" in done.err
    assert (done.code, done.out) == (0, "")
    named = cli("-w", workspace, "search", "red", "--min-score", "gain=0.1")
    assert (named.err, bool(named.out)) == ("", True)


def test_combined_options_keep_their_order() -> None:
    @click.command()
    @combined(click.option("--first"), click.option("--second"))
    def command(first: str, second: str) -> None:
        pass

    assert [param.name for param in command.params] == ["first", "second"]


def test_the_option_nearer_to_the_end_wins(tmp_path: Path, cli: Cli) -> None:
    assert cli("-w", tmp_path / "a", "init", "-w", tmp_path / "b").out == f"{tmp_path / 'b'}\n"
    assert not (tmp_path / "a").exists()
    assert cli("-w", tmp_path / "b", "-q", "label", "--layer", "mid", "--dry-run").err == ""
