"""The rules that lie in each folder of tasks, as its README."""

from __future__ import annotations

from autointerp.benchmark.recipe import BenchmarkRecipe

_NAMING = """\
# Naming units of shapes

A unit is active in some cells of pictures. Say in a few words in which: give each of the {tasks} units a name.

- `tasks.jsonl` has a line for each unit, with its folder. All names count that you give; a unit without one is wrong.
- Your answer is a file of JSON lines: `{{"unit": "synthetic:0", "name": "red circle"}}`. Files of
  `autointerp labels export` are taken too. Where you see nothing in common, give an empty name: some units
  are about nothing.
- A name is right if it holds in the very cells in which the unit's truth does, in {held_out} other pictures: no more
  cells, and no fewer. Alternatives (`red or blue`) and exceptions (`red not circle`) are read as what they say.
- The words that can be read are those of the world: sizes, colors, textures, shapes, places, parts (`edge`, `inside`),
  backgrounds, and their usual synonyms. A name with any other word holds nowhere.
- Look at what is in this folder alone. The truth of cells, and answers made anew, are for scoring.

```bash
autointerp benchmark naming --tasks . --score labels.jsonl{answers}
```
"""
_SCORING = """\
# Telling right labels of units of shapes from wrong ones

A unit is active in some cells of pictures. A label says in which. Give each label a value: the larger, the more likely
it is right.

- `tasks.jsonl` has a line for each label: its id, its name, its unit and the unit's folder.
- Your answer is a file of JSON lines: `{{"label": "label:0", "value": 0.7}}`. Values have any scale. A label without a
  value counts as told wrong.
- A label is right if it says what the unit is about. Wrong ones are too broad, too narrow, of a sibling of a word, of
  another unit, or random.
- The figure is the AUROC of right against wrong labels, of all wrong ones and of each kind.
- Look at what is in this folder alone. The truth of cells, and answers made anew, are for scoring.

```bash
autointerp benchmark scoring --tasks . --score values.jsonl{answers}
```
"""
_FOLDER = """
## What is in the folder

- `pictures/`: {shown} pictures of the world, {side} pixels a side, for base rates.
- `units/NAME/NN.plain.png` and `NN.marked.png`: up to {crops} crops, around a cell in which the unit is active. Their
  pictures are drawn by the number of active cells. Active cells are outlined in the marked one.
- `units/NAME/maps.npy`: float32 [crops, 12, 12], the unit's activations in the whole picture of each crop.
- `units/NAME/unit.json`: the picture, prompt, cell, box and activation of each crop; pictures in which the unit is
  silent; its maximum, and its density. A cell is active above a quarter of the maximum.
- `benchmark.json`: {made}
"""


def rules_of(kind: str, tasks: int, recipe: BenchmarkRecipe, withheld: bool, side: int) -> str:
    """Return the rules of a folder of tasks, whose pictures have `side` pixels a side."""
    text = (_NAMING if kind == "naming" else _SCORING).format(
        tasks=tasks, held_out=recipe.held_out, answers=" --answers FILE" if withheld else ""
    )
    made = "a hash of the answers, which lie in a file elsewhere." if withheld else "what the tasks were made of."
    return text + _FOLDER.format(shown=recipe.shown, side=side, crops=recipe.crops, made=made)
