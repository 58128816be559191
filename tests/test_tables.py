"""Tables as text: the delimiter, the width of rows, quotes, and what people's programs write."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from autointerp.errors import AutointerpError
from autointerp.tables import parse_table, read_table

CELLS = st.text("ab,;\t|'\" \n", min_size=1, max_size=8).filter(lambda text: text.strip() == text)


def rows(text: str, *wanted: str) -> list[list[str]]:
    return [list(row.cells) for row in parse_table(text, "x.csv", wanted or ("prompt",)).whole_rows()]


def read_strictly(text: str) -> None:
    table = parse_table(text, "x.csv", ("prompt",))
    table.column("prompt")
    list(table.whole_rows())


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), st.sampled_from(",;\t|"))
def test_what_the_csv_module_writes_is_read_back(written: list[tuple[str, str]], delimiter: str) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("prompt", "note"), *written])
    assert rows(file.getvalue()) == [list(row) for row in written]


@pytest.mark.parametrize(
    "text",
    [
        "prompt;note\r\na cup, red;x\r\n",
        "note\tprompt\nx\ta cup, red\n",
        "\n\nprompt|note\na cup, red|x\n\n",
        'sep=;\r\n"prompt";"note"\r\n"a cup, red";x\r\n;\r\n',
        'prompt,note\n"a cup, red", "x"\n,\n',
        'PROMPT, note,,\n"a cup, red",x,,\n',
        'prompt,note\r"a cup, red",x\r',
    ],
)
def test_delimiters_and_blank_rows(text: str) -> None:
    table = parse_table(text, "x.csv", ("prompt",))
    column = table.column("prompt")
    assert column is not None
    assert [row.cells[column] for row in table.whole_rows()] == ["a cup, red"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prompt\na lamp\na red cup, on a table\n", "line 3: it has more cells"),
        ("prompt;note\na;b\nc;d;e\n", "line 3: it has more cells"),
        ('prompt,note\n"a\nb",x\nc\n', "line 4: it has fewer cells"),
        ("sep=;\nprompt;note\na\n", "line 3: it has fewer cells"),
        ('prompt,note\na,b\n"c,d\ne,f\n', "line 3: a quote opens there and does not close"),
        ('prompt,note\n"c" d,x\n', "line 2: "),
        ("prompt,prompt\na,b\n", "the column 'prompt' twice"),
    ],
)
def test_what_is_not_clear_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(AutointerpError) as raised:
        read_strictly(text)
    assert says in str(raised.value)
    assert "x.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_tables_of_spreadsheets(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("prompt;seed\r\nein Stück;3\r\n".encode("utf-16"))
    assert [row.cells for row in read_table(path, ("prompt",)).rows] == [("ein Stück", "3")]
    path = tmp_path / "x.tsv"
    path.write_text("prompt\na cup, red; new\n")
    assert [row.cells for row in read_table(path, ("prompt",)).whole_rows()] == [("a cup, red; new",)]
    (tmp_path / "x.csv").write_text("")
    assert read_table(tmp_path / "x.csv", ("prompt",)).header == ()
