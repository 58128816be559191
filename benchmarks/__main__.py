"""`make bench`: every benchmark, or the named ones, as one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from benchmarks import (
    capture,
    collector,
    database,
    edits,
    growth,
    harvest,
    local_vlm,
    memory,
    pursuit,
    shapes_vlm,
    shards,
    startup,
    vlm,
)
from benchmarks.pairs import Row

BENCHMARKS = {
    "startup": startup.run,
    "collector": collector.run,
    "growth": growth.run,
    "capture": capture.run,
    "edits": edits.run,
    "harvest": harvest.run,
    "shards": shards.run,
    "pursuit": pursuit.run,
    "database": database.run,
    "vlm": vlm.run,
    "local-vlm": local_vlm.run,
    "shapes-vlm": shapes_vlm.run,
}


MEMORY = "memory"
"""What is counted, not timed, and has tables of its own."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHMARKS, MEMORY]))
@click.option("--quick", is_flag=True, help="Sizes so small that only failures mean anything.")
@click.option("--pairs", type=click.IntRange(min=1), metavar="N", help="Pairs of each.  [default: 3 to 30]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(names: tuple[str, ...], quick: bool, pairs: int | None, as_json: bool) -> None:
    """Time things side by side, and count what full-size models take: everything, or what is named."""
    rows: list[Row] = []
    parts: list[memory.Part] = []
    for name in names or (*BENCHMARKS, MEMORY):
        click.echo(f"{name} ...", err=True)
        if name == MEMORY:
            parts = list(memory.parts_of())
        else:
            rows += BENCHMARKS[name](quick, pairs)
    if as_json:
        click.echo(json.dumps([asdict(record) for record in (*rows, *parts, *memory.peaks_of(parts))], indent=2))
        return
    click.echo("\n\n".join([*([table(rows)] if rows else []), *([memory.tables(parts)] if parts else [])]))


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, ready for docs/performance.md."""
    lines = ["| benchmark | what | ours | other | ratio | interval | pairs |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        span = f"{r.low:.2f} to {r.high:.2f} ({r.coverage:.0%})"
        lines.append(
            f"| {r.benchmark} | {r.figure} | {r.ours:.3g} {r.unit} | {r.other:.3g} {r.unit} "
            f"| {r.ratio:.2f} | {span} | {r.pairs} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
