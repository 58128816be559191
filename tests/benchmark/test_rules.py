from __future__ import annotations

from autointerp.benchmark.recipe import BenchmarkRecipe
from autointerp.benchmark.rules import rules_of


def test_rules_name_the_command_that_scores() -> None:
    recipe = BenchmarkRecipe(held_out=77)
    naming = rules_of("naming", 12, recipe, withheld=False, side=128)
    assert "autointerp benchmark naming --tasks . --score labels.jsonl\n" in naming
    assert "12 units" in naming
    assert "128 pixels a side" in naming
    assert "77 other pictures" in naming
    withheld = rules_of("scoring", 12, recipe, withheld=True, side=96)
    assert "autointerp benchmark scoring --tasks . --score values.jsonl --answers FILE\n" in withheld
    assert "a file elsewhere" in withheld
    assert "{" not in naming.replace('{"unit"', "")
