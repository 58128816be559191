"""The model card of a bundle: what is inside, how good the labels are, and how to load it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from autointerp.export.rows import ExportRow
from autointerp.texts import clean

_TEMPLATE = """\
---
library_name: autointerp
tags: [sparse-dictionary, interpretability, diffusion]
---

# {{ title }}

A sparse dictionary of one layer of a text-to-image diffusion model, with a name for what each feature responds to.
Made by autointerp.

{% for key, value in facts %}
- **{{ key }}**: {{ value }}
{% endfor %}

## What is inside

| file | |
|---|---|
| `cfg.json`, `weights.safetensors` | the dictionary |
| `labels.jsonl` | one feature a line: index, name, explanation, confidence, labeler, scores, density, state |
| `provenance.json` | what it was made from |
| `manifest.json` | SHA-256 of every file |
{% if pictures %}
| `crops/` | a few pictures of where the best features fire |
{% endif %}

{{ counts.total }} features: {{ counts.ok }} named, {{ counts.uninterpretable }} looked at and found uninterpretable, \
{{ counts.failed }} failed, {{ counts.unlabeled }} not labeled; {{ counts.dead }} never fired.
{% for method, mean, n in scores %}
Mean `{{ method }}` score: {{ "%.3f"|format(mean) }} over {{ n }} labels.
{% endfor %}

{% if best %}
## Some features

| feature | name | explanation |{% for m in methods %} {{ m }} |{% endfor %}

|---|---|---|{% for m in methods %}---|{% endfor %}

{% for row in best %}
| {{ row.index }} | {{ row.name|safe_cell }} | {{ row.explanation|safe_cell }} |\
{% for m in methods %} {{ row.score(m)|figure }} |{% endfor %}

{% endfor %}
{% endif %}

## Use

```python
from autointerp import LabeledDictionary

dictionary = LabeledDictionary.load("PATH")
code = dictionary.encode(acts)  # acts: [n, {{ d_in }}], raw activations of the layer
[dictionary.label(int(i)).name for i in code.latent_indices[0]]
dictionary.find("red")
```

## Limits

A label is a machine's guess from the images on which a feature fires most; a score says how far it can be trusted, and
a feature without one was not tested. Labels hold for the model, layer, signal and kind of prompts named above.
"""


def safe_cell(text: str, limit: int = 160) -> str:
    """A text for a cell of a Markdown table: one line, nothing in it acts as markup."""
    text = clean(text, limit)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", text)


def render_card(
    config: Mapping[str, Any], provenance: Mapping[str, Any], rows: Sequence[ExportRow], pictures: int
) -> str:
    """The README of a bundle, in Markdown."""
    from jinja2.sandbox import SandboxedEnvironment

    statuses = [row.status for row in rows]
    counts = {name: statuses.count(name) for name in ("ok", "uninterpretable", "failed", "unlabeled")}
    counts |= {"total": len(rows), "dead": sum(row.state == "dead" for row in rows)}
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
    facts = [(k, safe_cell(str(v))) for k, v in provenance.items() if isinstance(v, str | int | float) and v != ""]
    environment = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "safe_cell": safe_cell,
        "figure": lambda value: "" if value is None else f"{value:.2f}",
    }
    return environment.from_string(_TEMPLATE).render(
        title=safe_cell(str(provenance.get("name", "A labeled dictionary"))),
        facts=facts,
        counts=counts,
        scores=scores,
        methods=methods,
        best=best,
        pictures=pictures,
        d_in=config.get("d_in", "d_in"),
    )
