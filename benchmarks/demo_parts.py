"""Time and memory of each part of `make demo`, for several versions of this project in one run.

    python -m benchmarks.demo_parts v0.1.0 main -o DIR

Each version is cloned into DIR and run there as a newcomer would, the install included. What the demo shows while it
runs says where a part begins. Memory is what the largest single process holds, read ten times a second. Nothing else
should run beside it.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
INSTALL = "install"
_FIRST_WORDS = {
    "fit": ("fit", "measuring"),
    "harvest": ("harvest",),
    "index": ("index",),
    "names": ("label",),
    "names apart": ("apart", "tell"),
    "scores": ("embedding", "detection", "gain"),
    "evaluate": ("evaluate", "controls", "splicing"),
    "export and search": ("export",),
}
"""Each part, and the first words of the lines that it shows."""
PART_OF = {word: part for part, words in _FIRST_WORDS.items() for word in words}
_LINE = re.compile(r"(?:\x1b\[[0-9;?]*[A-Za-z])|[\r\n]+")
_NUMBER = re.compile(r"\[\d+/\d+\] ")
_EVERY = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Part:
    """One part of a demo: seconds of the clock, and the most memory of one process, in bytes."""

    seconds: float = 0.0
    memory: int = 0


def part_of(line: str) -> str | None:
    """Return the part that a line of the demo belongs to, or None where it does not say.

    A new part announces itself by `[2/7] harvest: ...`, or by its first bar, `harvest shapes.mid.topk  12/500`.
    """
    words = _NUMBER.sub("", line.strip()).replace(":", " ").split()
    return PART_OF.get(words[0]) if words else None


def processes(root: int) -> Iterator[int]:
    """The process and all that it started, as far as they still run."""
    yield root
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from processes(int(child))


def resident(pid: int) -> int:
    """The memory that a process holds, in bytes; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def watch(command: list[str], folder: Path) -> tuple[dict[str, Part], str]:
    """Run a command, and return its parts in their order, and the last line that it showed if it failed, else ""."""
    order = [INSTALL, *_FIRST_WORDS]  # What a demo prints at its end begins with the same words.
    parts = {INSTALL: Part()}
    current = INSTALL
    ours, theirs = pty.openpty()  # On a terminal a bar is shown as soon as it is opened.
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    rest, shown, last = "", "", time.monotonic()
    while True:
        ready, _, _ = select.select([ours], [], [], _EVERY)
        now = time.monotonic()
        parts[current].seconds += now - last
        parts[current].memory = max(parts[current].memory, *map(resident, processes(process.pid)))
        last = now
        if not ready:
            continue
        try:
            data = os.read(ours, 65536)
        except OSError:
            data = b""
        if not data:
            break
        rest += data.decode("utf-8", "replace")
        *lines, rest = _LINE.split(rest)
        for line in lines:
            shown = line.strip() or shown
            found = part_of(line)
            if found and found not in parts and order.index(found) > order.index(current):
                current = found
                parts[found] = Part()
    os.close(ours)
    return parts, shown if process.wait() else ""


def demo_of(version: str, out: Path) -> tuple[dict[str, Part], str]:
    """Clone a version, and return what `watch` does of its demo."""
    folder = out / re.sub(r"\W+", "-", version)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "-c", "advice.detachedHead=false", "checkout", "-q", version], cwd=folder, check=True)
    found = watch(["make", "demo"], folder)
    shutil.rmtree(folder)
    return found


def table(versions: dict[str, dict[str, Part]]) -> str:
    """A Markdown table, ready for docs/performance.md: a row for each part, with time and memory of each version."""
    names = [INSTALL, *_FIRST_WORDS]
    lines = [
        "| part | " + " | ".join(f"{version}: time | memory" for version in versions) + " |",
        "|---|" + "---|---|" * len(versions),
    ]
    for name in names:
        cells = [
            f"{found[name].seconds:.0f} s | {found[name].memory / 1e9:.2f} GB" if name in found else "- | -"
            for found in versions.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    whole = [
        f"{sum(p.seconds for p in found.values()):.0f} s | {max(p.memory for p in found.values()) / 1e9:.2f} GB"
        for found in versions.values()
    ]
    lines.append(f"| all | {' | '.join(whole)} |")
    return "\n".join(lines)


@click.command()
@click.argument("versions", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Where the versions are cloned.")
def main(versions: tuple[str, ...], out: Path) -> None:
    """Run the demo of each VERSION (a commit, tag or branch), and print a table of all so far after each."""
    found: dict[str, dict[str, Part]] = {}
    out.mkdir(parents=True, exist_ok=True)
    for version in versions:
        print(f"{version} ...", file=sys.stderr)
        found[version], failed = demo_of(version, out)
        if failed:
            print(f"the demo of {version} failed in its last part: {failed}", file=sys.stderr)
        click.echo(table(found))  # After each version: the next may be stopped.


if __name__ == "__main__":
    main()
