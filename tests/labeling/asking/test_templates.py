"""Prompt files of one's own: they take the place of shipped ones, and a mistake in one is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.templates import ENDING, hash_of, load_prompt

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.name for path in (ROOT / "prompts").glob(f"*{ENDING}"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_copy_of_a_shipped_file_is_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text((ROOT / "prompts" / name).read_text())
    assert load_prompt(name, tmp_path) == load_prompt(name) == load_prompt(name, tmp_path / "none")


def test_a_file_of_ones_own_takes_its_place_alone(tmp_path: Path) -> None:
    (tmp_path / "detect.md.j2").write_text(
        "Is it {{ name }}? {{ count }} {% if explanation %}{{ explanation }}{% endif %}"
    )
    own = load_prompt("detect.md.j2", tmp_path)
    assert own.render(name="red", count=3, explanation="", mark="m") == "Is it red? 3"
    assert own.hash != load_prompt("detect.md.j2").hash
    assert hash_of([own]) != hash_of([load_prompt("detect.md.j2")])
    assert load_prompt("fuzz.md.j2", tmp_path) == load_prompt("fuzz.md.j2")
    # Prompt sets may lie there too.
    (tmp_path / "captions.txt").write_text("a cat")
    assert load_prompt("detect.md.j2", tmp_path) == own


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("one\ntwo {% if name %}", "line 2: Unexpected end of template"),
        ("{{ name | nofilter }}", "No filter named 'nofilter'"),
        ("{{ nmae }}", "it asks for 'nmae', which it is not given (did you mean 'name'?"),
        ("{% if count > 5 %}{{ nothere }}{% endif %}", "'nothere'"),
        ("{{ name.foo.bar }}", "has no attribute 'foo'"),
        ("{{ 1 // (count - count) }}", "ZeroDivisionError"),
        ("{{ name.__class__.__mro__ }}", "unsafe"),
        (" \n", "it is empty"),
        (b"\xff\xfe", "cannot read"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, source: str | bytes, said: str) -> None:
    own = tmp_path / "detect.md.j2"
    own.write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises(AutointerpError) as raised:
        load_prompt("detect.md.j2", tmp_path)
    assert str(own) in str(raised.value)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_replaces_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lable.md.j2").write_text("x")
    with pytest.raises(AutointerpError, match=r"lable\.md\.j2 takes the place of no prompt file: did you mean 'label"):
        load_prompt("label.md.j2", tmp_path)
