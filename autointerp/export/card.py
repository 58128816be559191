"""The card of a bundle: its contents, how good its labels are, and how to load it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from autointerp.export.rows import ExportRow
from autointerp.texts import clean

SHEET = "features.png"
"""The picture that the card shows, in the same folder."""
_BEST = 20
"""The most features that the card lists."""
_TEMPLATE = """\
---
library_name: autointerp
{% if base_model %}
base_model: {{ base_model|tojson }}
{% endif %}
tags:
- sparse-dictionary
- sparse-autoencoder
- interpretability
- text-to-image
---

# {{ title }}

A sparse dictionary of one layer of a text-to-image diffusion model, with a name for what each feature responds to.
Made by autointerp.

{% if sheet %}
![Some features: a row each, with the crops on which it fires most]({{ sheet }})

{% endif %}
{% for key, value in facts %}
- **{{ key }}**: {{ value }}
{% endfor %}

## Figures

| | |
|---|---|
| features | {{ counts.total }} |
| named | {{ counts.ok }} |
| looked at and found uninterpretable | {{ counts.uninterpretable }} |
| not labeled | {{ counts.unlabeled }} |
| never fired | {{ counts.dead }} |
{% for name, value in figures %}
| {{ name }} | {{ value }} |
{% endfor %}
{% for method, mean, n in scores %}
| mean {{ method|safe_cell }} score, of {{ n }} labels | {{ "%.3f"|format(mean) }} |
{% endfor %}

## What is inside

| file | |
|---|---|
| `cfg.json`, `weights.safetensors` | the dictionary |
| `labels.jsonl`, `labels.parquet` | a feature a row: name, explanation, confidence, labeler, scores, state, namesakes |
{% if tables %}
| `rows/` | the database's rows as Parquet, which `autointerp import` restores: {{ tables }} |
{% endif %}
| `provenance.json` | what it was made from: model, revision, layer, prompts, seeds, steps, settings, versions, hashes |
| `manifest.json` | version of this layout, SHA-256 of every file |

{% if best %}
## Some features

| feature | name | explanation |{% for m in methods %} {{ m|safe_cell }} |{% endfor %}

|---|---|---|{% for m in methods %}---|{% endfor %}

{% for row in best %}
| {{ row.index }} | {{ row.name|safe_cell }} | {{ row.explanation|safe_cell }} |\
{% for m in methods %} {{ row.score(m)|figure }} |{% endfor %}

{% endfor %}
{% endif %}

## Use

```python
from autointerp import LabeledDictionary

dictionary = LabeledDictionary.load("PATH")  # or "hf:OWNER/NAME"
code = dictionary.encode(acts)  # acts: [n, {{ d_in }}], raw activations of the layer
[dictionary.label(int(i)).name for i in code.latent_indices[0]]
dictionary.find("red")
```

`autointerp import PATH` takes all of it into a workspace, where features can be searched, looked at and labeled anew.

## Limits

- A label is a guess from the images on which a feature fires{{ ", by " ~ labelers if labelers }}. A score says \
how far it can be trusted on images that the labeler did not see; {{ counts.untested }} of {{ counts.ok }} names \
have none.
- {{ counts.uninterpretable + counts.unlabeled }} of {{ counts.total }} features have no name. A name does not say \
that nothing else makes the feature fire.
- Labels hold for the model, revision, layer, signal and steps above, and for images of the kind of prompts it was \
harvested on.
{% for note in assumed %}
- Assumed when it was imported from another tool's files: {{ note }}
{% endfor %}
- What the dictionary leaves unexplained (FVU{{ " " ~ fvu if fvu }}) is in no feature.
"""


def safe_cell(text: str, limit: int = 160) -> str:
    """Return a text for a cell of a Markdown table: one line in which nothing acts as markup."""
    text = clean(text, limit)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", text)


def render_card(
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    rows: Sequence[ExportRow],
    counts: Mapping[str, int],
    sheet: bool,
) -> str:
    """Return the README of a bundle, in Markdown.

    Args:
        config: The dictionary's configuration.
        provenance: Where the dictionary comes from.
        rows: The labels, one row a feature.
        counts: Table -> number of rows that the bundle carries.
        sheet: True where the card's picture is in the bundle.
    """
    from jinja2.sandbox import SandboxedEnvironment

    methods = list(dict.fromkeys(s.method for row in rows for s in row.scores))
    environment = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= {
        "safe_cell": safe_cell,
        "figure": lambda value: "" if value is None else f"{value:.2f}",
    }
    model = str(provenance.get("model", ""))
    return environment.from_string(_TEMPLATE).render(
        title=safe_cell(str(provenance.get("name", "A labeled dictionary"))),
        base_model=model if re.fullmatch(r"[\w.-]+/[\w.-]+", model) else "",
        sheet=SHEET if sheet else "",
        facts=[(key, _cell(v)) for key in _FACTS if (v := provenance.get(key)) not in (None, "", [])],
        figures=_figures(provenance),
        counts=_counts(rows),
        scores=_mean_scores(rows, methods),
        methods=methods,
        best=_best(rows, methods),
        tables=", ".join(f"{name} ({n})" for name, n in counts.items() if n),
        labelers=safe_cell(", ".join(sorted({row.labeler for row in rows if row.status == "ok" and row.labeler}))),
        assumed=[safe_cell(note, 400) for note in provenance.get("assumed") or [] if isinstance(note, str)],
        fvu=_number(provenance.get("fvu")),
        d_in=config.get("d_in", "d_in"),
    )


_FACTS = ("model", "revision", "layer", "hookpoint", "signal", "stream", "steps", "kind", "images", "seed")
_FIGURES = {"fvu": "fraction of variance unexplained (FVU)", "l0": "mean active features a token (L0)"}


def _counts(rows: Sequence[ExportRow]) -> dict[str, int]:
    """Return how many features have each status or state, and how many names have no score."""
    statuses = [row.status for row in rows]
    named, uninterpretable = statuses.count("ok"), statuses.count("uninterpretable")
    return {
        "ok": named,
        "uninterpretable": uninterpretable,
        "total": len(rows),
        "dead": sum(row.state == "dead" for row in rows),
        "unlabeled": len(rows) - named - uninterpretable,
        "untested": sum(row.status == "ok" and all(s.value is None for s in row.scores) for row in rows),
    }


def _mean_scores(rows: Sequence[ExportRow], methods: Sequence[str]) -> list[tuple[str, float, int]]:
    """Return each method with the mean of its scores and how many there are; methods without a value are left out."""
    found = []
    for method in methods:
        values = [value for row in rows if (value := row.score(method)) is not None]
        if values:
            found.append((method, fmean(values), len(values)))
    return found


def _best(rows: Sequence[ExportRow], methods: Sequence[str]) -> list[ExportRow]:
    """Return the named features with the best scores by the first method, then with the most confidence."""

    def worth(row: ExportRow) -> tuple[float, float, int]:
        value = row.score(methods[0]) if methods else None
        return (-(value or 0.0), -(row.confidence or 0.0), row.index)

    return sorted((row for row in rows if row.status == "ok"), key=worth)[:_BEST]


def _cell(value: Any) -> str:
    """Return a value of the provenance as text for the card."""
    return safe_cell(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _figures(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how well the dictionary rebuilds its layer, as far as the provenance says."""
    return [(words, text) for key, words in _FIGURES.items() if (text := _number(provenance.get(key)))]


def _number(value: Any) -> str:
    """Return a figure with three decimals; empty where there is none."""
    return f"{value:.3f}" if isinstance(value, int | float) else ""
