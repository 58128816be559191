"""Results of benchmarks for people: a row for each group of units, and what names get that were given blindly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.commands.printing.tables import say, share, table

_FIGURES = {"exact": "exact", "macro_exact": "exact, by concept", "gain_share": "gain share"}
"""Figures that are printed, by their keys; all others are in the JSON."""
_VERDICTS = {"too broad": "broad", "too narrow": "narrow", "overlapping": "overlapping", "wrong": "wrong"}


def print_naming(results: Mapping[str, Any]) -> None:
    """Print the results of names."""
    rows = []
    for group, found in results["groups"].items():
        verdicts = found["verdicts"]
        rows.append(
            (
                group,
                str(found["units"]),
                *(_with_interval(found, key) for key in _FIGURES),
                *(str(verdicts[key]) for key in _VERDICTS),
                share(found["truthless_named"]),
            )
        )
        for control, of in found.get("controls", {}).items():
            rows.append((f"  {control}", "", *(share(of[key]) for key in _FIGURES), *("",) * (len(_VERDICTS) + 1)))
    table(("units", "number", *_FIGURES.values(), *_VERDICTS.values(), "named without a truth"), rows)
    missing = sum(found["missing"] for found in results["groups"].values() if "controls" in found)
    if missing:
        say(f"{missing} units have no name in the file: each counts as wrong")
    unreadable = {name: why for found in results["groups"].values() for name, why in found["unreadable"].items()}
    for name, why in list(unreadable.items())[:5]:
        say(f"{name!r} holds nowhere: {why}")
    if len(unreadable) > 5:
        say(f"{len(unreadable) - 5} more names hold nowhere, see `unreadable` in --json")


def print_scoring(results: Mapping[str, Any]) -> None:
    """Print the results of values."""
    ways = list(results["ways"])
    rows = [("values", *(_auroc(results["ways"][way]) for way in ways))]
    rows += [(f"  {name}", *(_auroc(of[way]) for way in ways)) for name, of in results["controls"].items()]
    table(("AUROC of right labels against", *ways), rows)
    if results["missing"]:
        say(f"{results['missing']} labels have no value in the file: each counts as told wrong")


def _auroc(found: Mapping[str, Any]) -> str:
    ends = found["interval"]
    return f"{found['auroc']:.2f}" + ("" if ends is None else f" ({ends[0]:.2f} to {ends[1]:.2f})")


def _with_interval(found: Mapping[str, Any], key: str) -> str:
    ends = found["intervals"].get(key)
    return share(found[key]) + ("" if ends is None else f" ({100 * ends[0]:.0f} to {100 * ends[1]:.0f})")
