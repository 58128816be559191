"""What commands print for people: results as tables and lines on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from autointerp.texts import visible

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.stages.explain import Explained
    from autointerp.stages.search import Hit


def print_status(found: dict[str, Any]) -> None:
    """What a workspace holds, a dictionary a line."""
    click.echo(f"workspace {found['workspace']}, model {found['model']}")
    if not found["dictionaries"]:
        click.echo("no dictionaries yet: run `autointerp label --layer mid`")
        return
    names = ("dictionary", "features", "live", "dead", "dense", "labels", "uninterpretable", "failed", "scores")
    figures = ("fvu", "explained_variance", "r2_mean", "l0", "loss_recovered")
    rows = [
        (*(cell(row[name]) for name in names), *(cell(row["figures"].get(name)) for name in figures))
        for row in found["dictionaries"]
    ]
    table((*names, *(name.replace("_", " ") for name in figures)), rows)
    if found["calls"]["calls"]:
        click.echo(_spending(found["calls"]))


def _spending(calls: dict[str, Any]) -> str:
    """What remote models cost so far, and what the features without a label would."""
    unpriced = f" and {calls['unpriced']} answers of unknown price" if calls["unpriced"] else ""
    text = f"{calls['calls']} calls, {calls['answers']} answered: ${calls['spent']:.4f} spent{unpriced}"
    if not calls["remaining"]:
        return text
    cost = "at an unknown price" if calls["expected"] is None else f"about ${calls['expected']:.4f} expected"
    return f"{text}; {calls['remaining']} features left, {cost}"


def print_feature(found: dict[str, Any]) -> None:
    """A feature with its label, scores and strongest crops."""
    named, atom = found["label"], found["atom"]
    of = "text tokens" if found["stream"] == "text" else "cells"
    click.echo(f"{found['feature']}  {found['state']}, fires in {found['density']:.2%} of {of}")
    if named is None:
        click.echo(f"no label yet: run `autointerp label --layer ... --feature {found['feature'].rpartition(':')[2]}`")
    elif named["status"] == "ok":
        _say(f"{named['name']}  ({named['labeler']}, confidence {named['confidence']:.2f})")
    else:
        _say(f"{named['status']}  ({named['labeler']})  {named['error']}".rstrip())
    if named is not None and named["explanation"]:
        _say(named["explanation"])
    what = "token" if found["stream"] == "text" else "cell"
    for given in found["scores"]:
        value = "no value" if given["value"] is None else f"{given['value']:.3f}"
        span = "" if given["ci_low"] is None else f"  [{given['ci_low']:.3f}, {given['ci_high']:.3f}]"
        _say(f"{given['method']} score {value}{span}  {given['note']}".rstrip())
    if len(found["labels"]) > 1:
        _print_labels(found["labels"])
    if found["histogram"]:
        levels = [level["cells"] for level in found["histogram"]]
        first, last = found["histogram"][0]["from"], found["histogram"][-1]["from"]
        click.echo(f"activations from {first:.3g} to above {last:.3g}: {sparkline(levels)}")
    if len(found["steps"]) > 1:
        click.echo("by step: " + ", ".join(f"{step}: {part:.0%}" for step, part in found["steps"].items()))
    for other in found["neighbours"][:3]:
        _say(f"fires with {other['feature']}  {other['name']}  (Jaccard {other['jaccard']:.2f})")
    if atom is not None:
        place = f"step {atom['step']}, {what} {_place(atom, what)}, seed {atom['seed']}"
        _say(f"atom of {place}: {atom['prompt']}")
    firing = [c for c in found["crops"] if c["role"] != "negative"]
    rows = [
        (c["role"], c["split"], cell(c["activation"]), _place(c, what), str(c["image"]), c["prompt"])
        for c in firing[:12]
    ]
    if rows:
        table(("role", "split", "activation", what, "image", "prompt"), rows)


def _print_labels(labels: list[dict[str, Any]]) -> None:
    """What several labelers say, side by side; a star is before the label that counts."""
    methods = list(dict.fromkeys(score["method"] for one in labels for score in one["scores"]))
    rows = []
    for one in labels:
        values = {score["method"]: score["value"] for score in one["scores"]}
        name = one["name"] if one["status"] == "ok" else one["status"]
        figures = (cell(values.get(method)) for method in methods)
        said = one["explanation"] or one["error"]
        rows.append(("*" if one["counts"] else "", one["labeler"], name, cell(one["confidence"]), *figures, said))
    table(("", "labeler", "name", "confidence", *methods, "explanation"), rows)


def print_labelers(found: list[dict[str, Any]]) -> None:
    """Labelers with how much they said and how well."""
    if not found:
        click.echo("no labels yet: run `autointerp label --layer mid`")
        return
    methods = list(dict.fromkeys(method for one in found for method in one["scores"]))
    names = ("dictionary", "labeler", "labels", "uninterpretable", "failed", "counting")
    rows = [(*(cell(one[n]) for n in names), *(cell(one["scores"].get(m)) for m in methods)) for one in found]
    table((*names, *methods), rows)


def _place(found: dict[str, Any], what: str) -> str:
    """Where a crop or atom is: its cell, or the number of its text token with the token where it is known."""
    row, col = found["cell"]
    if what == "cell":
        return f"{row},{col}"
    return str(col) if found["token"] is None else f"{col} {found['token']}"


def sparkline(counts: Sequence[int]) -> str:
    """Counts as a row of blocks, the largest the highest; only what is 0 has none."""
    most = max(counts)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in counts)


def print_hits(
    hits: Sequence[Hit],
    show: Callable[[Image.Image], None] | None = None,
    strips: Mapping[int, Image.Image] | None = None,
) -> None:
    """What a search found, a feature a line; where pictures can be shown, its crops under it."""
    names = ("feature", "name", "score", "density", "explanation", "best prompt")
    rows = [
        (h.feature, h.name or "-", cell(h.score), f"{h.density:.2%}", _cut(h.explanation, 48), _cut(h.prompt, 64))
        for h in hits
    ]
    if show is None or strips is None:
        table(names, rows)
        return
    for hit, row in zip(hits, rows, strict=True):
        click.echo(visible("  ".join(row[:4])))
        for line in row[4:]:
            if line:
                click.echo(visible(f"  {line}"))
        if hit.feature_id in strips:
            show(strips[hit.feature_id])


def _cut(text: str, width: int) -> str:
    """A text of at most this many characters, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def print_evaluation(found: dict[str, Any]) -> None:
    """The figures of `evaluate`, each beside its control."""
    click.echo(
        f"{found['dictionary']}: {found['features']} features ({found['dead']} dead), {found['images']} held-out images"
    )
    rows = []
    if found["controls"] is not None:
        random, shuffled = found["controls"]["random"], found["controls"]["shuffled"]
        rows = [
            ("grounded (any truth)", share(found["grounded"]), f"{share(random['grounded'])} of random directions"),
            ("specific truth", share(found["specific"]), f"{share(random['specific'])} of random directions"),
            (
                "label accuracy, specific",
                share(found["label_accuracy_specific"]),
                f"{share(shuffled['label_accuracy_specific'])} of shuffled labels",
            ),
            (
                "label accuracy, all grounded",
                share(found["label_accuracy"]),
                f"{share(shuffled['label_accuracy'])} of shuffled labels",
            ),
            ("score against precision, r", cell(found["score_precision_r"]), ""),
        ]
    rows += [
        ("FVU", cell(found["fvu"]), f"{cell(found['fvu_normalized'])} with every dimension scaled to 1"),
        ("explained variance", cell(found["explained_variance"]), "mean over dimensions"),
        ("r2, mean", cell(found["r2_mean"]), "mean squared correlation over dimensions"),
        ("L0", cell(found["l0"]), ""),
        ("dead, dense", f"{share(found['dead_share'])}, {share(found['dense_share'])}", "of the latents, on these"),
    ]
    change, error = found["image_change"], found["denoising_error"]
    if error is not None:
        beside = f"unchanged {error['unchanged']:.4g}, zeroed {error['zeroed']:.4g}"
        rows += [
            ("loss recovered", share(found["loss_recovered"]), f"denoising error {error['spliced']:.4g}, {beside}"),
            ("change of the image", cell(change["spliced"]), f"{cell(change['zeroed'])} by zeroing the layer"),
        ]
    for score in found["scores"]:
        judge = f" by {score['judge']}" if score["judge"] else ""
        beside = f"chance {cell(score['chance'])}, shuffled labels {cell(score['shuffled'])}; {score['labels']} labels"
        if score["truth_auroc"] is not None:
            told = cell(score["truth_auroc"])
            beside += f", tells features with a truth at AUROC {told}, r with precision {cell(score['precision_r'])}"
        if score["valueless"]:
            beside += f", {score['valueless']} without a value"
        if score["unscored"]:
            beside += f", {score['unscored']} of {score['trials']} trials unscored"
        rows.append((f"{score['method']} score{judge}", cell(score["value"]), beside))
    table(("figure", "value", "beside it"), rows)


def print_explained(found: Explained) -> None:
    """The features that are active in a picture, the strongest first."""
    rows = [
        (one.feature, one.name or "-", cell(one.score), cell(one.activation), share(one.strength), share(one.cells))
        + (one.where, one.explanation)
        for one in found.features
    ]
    table(("feature", "name", "score", "activation", "strength", "cells", "where", "explanation"), rows)


def print_comparison(found: dict[str, Any]) -> None:
    """Two dictionaries beside each other."""
    shared = found["jaccard"]
    rows = [
        ("features", *map(str, found["features"])),
        ("mean largest cosine", *map(cell, found["mean_cosine"])),
        ("with a match above 0.9", *map(share, found["above_0.9"])),
        ("each other's nearest", str(found["mutual"]), ""),
        ("shared sources of atoms (Jaccard)", "no atoms" if shared is None else cell(shared), ""),
    ]
    table(("", *found["dictionaries"]), rows)
    click.echo()
    pairs = [(*p["features"], cell(p["cosine"]), *(name or "-" for name in p["names"])) for p in found["pairs"]]
    table(("feature", "nearest", "cosine", "name", "name of the nearest"), pairs)


def share(value: float | None) -> str:
    """A part of 1 in percent."""
    return "-" if value is None else f"{value:.1%}"


def cell(value: Any) -> str:
    """A value in a table."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns on stdout; on a terminal the last one is cut to its width."""
    import shutil

    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [names, *rows]) for i in range(len(names))]
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in [names, *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(line if limit is None or len(line) <= limit else line[: max(limit - 1, 1)] + "…")


def _say(line: str) -> None:
    """A line on stdout; nothing in it drives the terminal."""
    click.echo(visible(line))
