"""The pieces of printed views."""

from __future__ import annotations

import pytest

from autointerp.commands.printing.tables import cell, columns, cut, say, share, sparkline, table


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    table(("a", "long name"), [("wide cell", "1"), ("2", "")])
    assert capsys.readouterr().out == "a          long name\nwide cell  1\n2\n"


def test_stored_text_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name",), [("\x1b[31mred\nblue",)])
    say("\x1b]0;title\x07")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert out.count("\n") == 3


def test_values() -> None:
    assert [cell(None), cell(0.12345), cell("x")] == ["-", "0.123", "x"]
    assert [share(None), share(0.5), share(0.0)] == ["-", "50.0%", "0.0%"]
    assert cut("two  words\nmore", 20) == "two words more"
    assert cut("abcdefgh", 4) == "abc…"


def test_only_zero_has_no_block() -> None:
    assert sparkline([0, 1, 1000]) == " ▁█"
    assert sparkline([8, 4]) == "█▄"


def test_wide_letters_and_narrow_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [columns(text) for text in ("abc", "円い", "e\u0301")] == [3, 4, 1]
    table(("name", "x"), [("円い", "1"), ("abcd", "2")])
    assert capsys.readouterr().out == "name  x\n円い  1\nabcd  2\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for width in (1, 2, 5, 8):
        monkeypatch.setenv("COLUMNS", str(width))
        table(("name", "x"), [("円い円い", "1"), ("abcd", "2")])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3
        assert all(1 <= columns(line) <= width for line in lines)
    monkeypatch.setenv("COLUMNS", "80")
    table(("name", "x"), [("abcd", "2")])
    assert "…" not in capsys.readouterr().out
