"""The registry of export formats: each row's writer is there, and the command line knows each."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from autointerp.errors import UsageError
from autointerp.transfer.exporting.formats import FORMATS

from ..bundles import Cli


@pytest.mark.parametrize("name", FORMATS)
def test_each_writer_has_the_one_signature(name: str) -> None:
    assert list(inspect.signature(FORMATS[name].load()).parameters) == ["ctx", "rows", "request"]


def test_the_command_line_lists_them(cli: Cli) -> None:
    said = " ".join(cli("export", "--help").out.split())
    assert f"{FORMATS.listed()}." in said
    assert [name for name, row in FORMATS.items() if row.takes_several] == ["html"]


def test_a_word_that_is_no_format_is_one_line(labeled: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("-w", labeled, "export", "--layer", "mid", "--format", "parqet", "-o", tmp_path / "out")
    assert done.code == 2
    assert done.err.startswith("error: there is no export format 'parqet': did you mean 'parquet'? known: bundle, ")
    with pytest.raises(UsageError):
        FORMATS.check("")
