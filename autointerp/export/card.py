"""The model card of a bundle: what is inside, how good the labels are, and how to load it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from autointerp.export.rows import ExportRow
from autointerp.texts import clean

SHEET = "features.png"
"""The card's picture, beside it."""
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
| `labels.jsonl`, `labels.parquet` | a feature a row: name, explanation, confidence, labeler, scores, density, state |
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
- What the dictionary leaves unexplained (FVU{{ " " ~ fvu if fvu }}) is in no feature.
"""


def safe_cell(text: str, limit: int = 160) -> str:
    """A text for a cell of a Markdown table: one line, nothing in it acts as markup."""
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
    """The README of a bundle, in Markdown.

    Args:
        config: the dictionary's.
        provenance: where it comes from.
        rows: one a feature.
        counts: table -> rows that travel.
        sheet: whether a picture lies beside it.
    """
    from jinja2.sandbox import SandboxedEnvironment

    statuses = [row.status for row in rows]
    states: dict[str, int] = {name: statuses.count(name) for name in ("ok", "uninterpretable")}
    states |= {"total": len(rows), "dead": sum(row.state == "dead" for row in rows)}
    states["unlabeled"] = len(rows) - states["ok"] - states["uninterpretable"]
    states["untested"] = sum(row.status == "ok" and all(s.value is None for s in row.scores) for row in rows)
    methods = list(dict.fromkeys(s.method for row in rows for s in row.scores))
    scores = []
    for method in methods:
        values = [v for row in rows if (v := row.score(method)) is not None]
        if values:
            scores.append((method, fmean(values), len(values)))

    def worth(row: ExportRow) -> tuple[float, float, int]:
        value = row.score(methods[0]) if methods else None
        return (-(value or 0.0), -(row.confidence or 0.0), row.index)

    best = sorted((row for row in rows if row.status == "ok"), key=worth)[:20]
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
        facts=[(key, _said(v)) for key in _FACTS if (v := provenance.get(key)) not in (None, "", [])],
        figures=_figures(provenance),
        counts=states,
        scores=scores,
        methods=methods,
        best=best,
        tables=", ".join(f"{name} ({n})" for name, n in counts.items() if n),
        labelers=safe_cell(", ".join(sorted({row.labeler for row in rows if row.status == "ok" and row.labeler}))),
        fvu=_number(provenance.get("fvu")),
        d_in=config.get("d_in", "d_in"),
    )


_FACTS = ("model", "revision", "layer", "hookpoint", "signal", "stream", "steps", "kind", "images", "seed")
_FIGURES = {"fvu": "fraction of variance unexplained (FVU)", "l0": "mean active features a token (L0)"}


def _said(value: Any) -> str:
    return safe_cell(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _figures(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How well the dictionary rebuilds, as far as it is known."""
    return [(words, text) for key, words in _FIGURES.items() if (text := _number(provenance.get(key)))]


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""
