"""The written pages: links lead somewhere, command lines can be typed, and no command is left out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from autointerp.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = [page for page in PAGES if page.name not in ("cli.md", "schema.md", "settings.md")]
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def all_commands(group=cli, path=()):
    # Asked by name, because a command's module is imported only then.
    for name in group.commands:
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name)


NAMES = {" ".join(path) for path in all_commands()}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def command_lines(page):
    """What a reader may type: lines of code blocks and inline code that begin with `autointerp `.

    Inline code that only names a command, e.g. `autointerp evaluate`, is no command line.
    """
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    lines = [line.strip().removeprefix("$ ") for line in blocks.splitlines()]
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]
    lines += [line for line in inline if line.removeprefix("autointerp ") not in NAMES]
    return [line for line in lines if line.startswith("autointerp ")]


def parse(line):
    """Parse a command line through the click tree, running nothing; returns the path of the command.

    Raises:
        click.UsageError: It cannot be typed like that.
    """
    words = shlex.split(line, comments=True)[1:]
    command, path, context = cli, [], None
    try:
        while True:
            context = command.make_context(path[-1] if path else "autointerp", words, parent=context)
            if not isinstance(command, click.Group):
                return tuple(path)
            words = [*getattr(context, "_protected_args", []), *context.args]
            name, command, words = command.resolve_command(context, words)
            path.append(name)
    except click.exceptions.Exit:  # --help and --version end the parsing, as they should
        return tuple(path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken, f"{name_of(page)}: {', '.join(broken)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_can_be_typed(page):
    for line in command_lines(page):
        try:
            parse(line)
        except click.UsageError as error:
            pytest.fail(f"{name_of(page)}: {line}: {error.format_message()}")


def test_the_check_itself_can_fail():
    assert parse("autointerp -w x label --layer mid -n 3") == ("label",)
    assert parse("autointerp db backup copy.db") == ("db", "backup")
    for wrong in ("autointerp lable", "autointerp label", "autointerp label --layer mid --no-such", "autointerp db up"):
        with pytest.raises(click.UsageError):
            parse(wrong)
    assert len(command_lines(ROOT / "README.md")) > 8


def test_every_command_is_in_the_written_pages():
    shown = {parse(line) for page in WRITTEN for line in command_lines(page)}
    missing = NAMES - {" ".join(path) for path in shown}
    assert not missing, f"no page shows: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_paths_of_the_project_exist(page):
    rooms = "autointerp|tests|training|benchmarks|docs|db|migrations|prompts|interop"
    named = re.findall(rf"`((?:{rooms})/[\w./-]*)`", page.read_text(encoding="utf-8"))
    # CONTRIBUTING says with a made-up path where a test lies.
    missing = [path for path in named if not (ROOT / path).exists() and "/a/" not in path]
    assert missing == []


NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_promise_has_tests_that_exist():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    promises = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(promises) > 20
    assert [line for line in promises if not NAMED_TEST.search(line)] == []
    missing = [
        f"{file}::{name}"
        for file, name in NAMED_TEST.findall(page)
        if not (ROOT / file).is_file() or f"\ndef {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []
