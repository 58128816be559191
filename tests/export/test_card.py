"""A bundle's card: figures, and nothing in it acts as markup."""

from __future__ import annotations

from pathlib import Path

import yaml

from autointerp.export.card import safe_cell


def test_card_tells_figures_and_escapes(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    for figure in ("features | 4", "named | 2", "found uninterpretable | 1", "not labeled | 1", "never fired | 1"):
        assert f"{figure} |" in card
    assert "| mean embedding score, of 1 labels | 0.970 |" in card
    assert "**hookpoint**: transformer.x.1" in card
    assert "1 of 2 names have none" in card
    assert "2 of 4 features have no name" in card
    assert "(features.png)" in card
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "autointerp"
    assert "base_model" not in front
    assert "<script>" not in card
    assert "| 1 | red circle | Fires on red circles. | 0.97 |" in card
    assert "acts: [n, 4]" in card
    assert "{{" not in card
    assert safe_cell("a|b\n<i>") == "a\\|b &lt;i&gt;"
