"""How concepts of the wider world are said: one way that shapes-vlm is taught to write, and many that it reads.

The synonyms are this module's own. They are more, and others, than those by which labels are measured
(`autointerp.shapes.truth`): what is measured is not what is taught.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from training.shapes.wide.truth import Atom
from training.shapes.wide.words import BESIDE, KIND_OF, LOOKS

PLURALS = {
    "cross": "crosses",
    "leaf": "leaves",
    "fish": "fishes",
    "arch": "arches",
    "hourglass": "hourglasses",
}
SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("scarlet", "vermilion", "ruby", "cherry"),
    "orange": ("tangerine", "amber", "pumpkin"),
    "yellow": ("lemon", "canary", "sunny"),
    "green": ("leafy green", "grassy green", "shamrock"),
    "cyan": ("aqua", "turquoise", "aquamarine"),
    "blue": ("cobalt", "royal blue", "sapphire"),
    "purple": ("violet", "amethyst", "grape"),
    "pink": ("bubblegum", "light pink", "blush"),
    "white": ("snowy", "whitish"),
    "black": ("jet", "ebony", "inky"),
    "grey": ("gray", "greyish"),
    "silver": ("silvery", "light grey"),
    "charcoal": ("dark grey", "graphite"),
    "maroon": ("burgundy", "dark red", "wine"),
    "brown": ("chestnut", "umber"),
    "chocolate": ("dark brown", "cocoa"),
    "tan": ("caramel", "camel"),
    "cream": ("ivory", "off-white"),
    "peach": ("apricot", "flesh"),
    "salmon": ("coral", "shrimp"),
    "gold": ("golden", "mustard", "ochre"),
    "olive": ("drab", "army green"),
    "khaki": ("straw", "dull yellow"),
    "lime": ("chartreuse", "neon green"),
    "mint": ("pale green", "seafoam"),
    "sage": ("dull green", "grey green"),
    "pine": ("dark green", "bottle green"),
    "teal": ("petrol", "dark cyan"),
    "azure": ("sky blue", "cornflower"),
    "navy": ("dark blue", "midnight blue"),
    "steel": ("slate", "grey blue"),
    "lavender": ("lilac", "pale purple"),
    "magenta": ("fuchsia", "hot pink"),
    "plum": ("dark purple", "aubergine"),
    "rose": ("raspberry", "deep pink"),
    "mauve": ("dusty purple", "heather"),
    "circle": ("disc", "round", "ball"),
    "square": ("block", "box"),
    "triangle": ("wedge", "three-cornered"),
    "star": ("five-pointed", "starlike"),
    "cross": ("plus sign", "cruciform"),
    "ring": ("annulus", "hoop", "donut"),
    "oval": ("ellipse", "egg"),
    "rectangle": ("oblong", "bar"),
    "diamond": ("rhombus", "lozenge"),
    "pentagon": ("five-sided",),
    "hexagon": ("six-sided",),
    "crescent": ("half moon", "sickle"),
    "heart": ("valentine",),
    "arrow": ("pointer",),
    "drop": ("droplet", "teardrop"),
    "dome": ("semicircle", "half circle"),
    "trapezoid": ("trapezium",),
    "parallelogram": ("slanted rectangle",),
    "frame": ("square ring", "hollow square"),
    "arch": ("archway", "gate"),
    "house": ("hut", "home"),
    "tree": ("fir", "conifer"),
    "cloud": ("puff",),
    "flower": ("blossom", "bloom"),
    "gear": ("cog", "cogwheel"),
    "bolt": ("lightning", "flash"),
    "hourglass": ("sandglass", "egg timer"),
    "fish": ("fishlike",),
    "mushroom": ("toadstool", "fungus"),
    "leaf": ("lens", "almond"),
    "chevron": ("caret",),
    "crown": ("coronet",),
    "solid": ("plain", "unpatterned", "uniform"),
    "striped": ("with horizontal stripes", "stripy", "barred"),
    "dotted": ("polka-dot", "with dots", "spotted"),
    "gridded": ("with a grid", "latticed"),
    "zigzag": ("with zigzags", "jagged"),
    "wavy": ("with waves", "rippled"),
    "hatched": ("with slanted lines", "diagonally striped"),
    "crosshatched": ("with crossed slanted lines", "netted"),
    "pinstriped": ("with vertical lines", "vertically striped"),
    "speckled": ("flecked", "freckled"),
    "shaded": ("fading", "with a gradient"),
    "bordered": ("rimmed", "with a dark rim"),
    "split": ("halved", "two-toned"),
    "mottled": ("blotchy", "patchy"),
    "banded": ("belted", "with a band"),
    "ringed": ("with rings", "concentric"),
    "rayed": ("with rays", "sunburst"),
    "plaid": ("tartan", "chessboard"),
    "small": ("little", "smallish"),
    "large": ("big", "sizeable"),
    "mini": ("minute", "very small"),
    "huge": ("giant", "enormous"),
    "sky": ("blue sky", "heaven"),
    "night": ("night sky", "dark"),
    "sand": ("sandy", "beach", "dune"),
    "checkered": ("checkerboard", "chequered"),
    "grass": ("lawn", "meadow"),
    "brick": ("brick wall", "brickwork"),
    "water": ("sea", "waves"),
    "wood": ("planks", "wooden"),
    "fog": ("mist", "haze"),
    "snow": ("snowfall", "snowflakes"),
    "rain": ("rainy", "downpour"),
    "sunset": ("dusk", "evening sky"),
    "lava": ("magma", "embers"),
    "ice": ("icy", "frozen"),
    "hills": ("hilly", "downs"),
    "paper": ("ruled paper", "notebook"),
    "marble": ("veined stone",),
    "leaves": ("foliage", "leafy"),
    "tiles": ("tiled", "mosaic"),
    "gravel": ("pebbles", "stones"),
    "metal": ("brushed steel", "metallic"),
    "confetti": ("party", "sprinkles"),
    "galaxy": ("outer space", "starry"),
    "overcast": ("cloudy",),
    "aurora": ("northern lights",),
    "curtain": ("drapes", "velvet"),
    "mountains": ("peaks", "alps"),
    "city": ("skyline", "skyscrapers"),
    "honeycomb": ("beehive", "hexagonal cells"),
    "bubbles": ("bubbly", "soapy"),
    "rainbow": ("spectrum", "all colours"),
    "blueprint": ("technical drawing",),
    "static": ("white noise", "snowy screen"),
    "edge": ("border", "rim", "boundary"),
    "inside": ("interior", "middle", "filling"),
    "left side": ("left edge", "left flank"),
    "right side": ("right edge", "right flank"),
    "top side": ("upper edge", "upper side"),
    "bottom side": ("lower edge", "underside"),
    "corner": ("tip", "vertex"),
    "outside": ("just outside", "surroundings"),
    "above": ("over", "on top of"),
    "below": ("under", "beneath"),
    "left of": ("to the left of",),
    "right of": ("to the right of",),
    "between": ("gap", "in between"),
    "open": ("empty", "far from anything"),
    "margin": ("rim of the picture", "outer cells"),
    "object": ("thing", "figure", "item"),
    "background": ("backdrop", "ground"),
}
"""Other ways to say a word. None is a word of the wider world."""
PART_OF = {"left of": "left of", "right of": "right of", "above": "above", "below": "below", "outside": "outside of"}


def plural(word: str) -> str:
    """Return the plural of a noun."""
    return PLURALS.get(word, f"{word}s")


def _thing(words: Iterable[str], many: bool) -> str:
    """The words of an object's look, in the order in which they are said."""
    of_kind = {KIND_OF[word]: word for word in words}
    said = [of_kind[kind] for kind in LOOKS if kind in of_kind]
    if "shape" not in of_kind:
        said.append("object")
    return " ".join([*said[:-1], plural(said[-1]) if many else said[-1]])


def phrase(atoms: Iterable[Atom]) -> str:
    """Say a concept as shapes-vlm is taught to: `red circle`, `edge of objects`, `left side of red circles, sky
    background`, `outside of large stars`, `top left of night background`.
    """
    own = [word for relation, word in atoms if relation == ""]
    near = [word for relation, word in atoms if relation == "near"]
    behind = [word for relation, word in atoms if relation == "on"]
    looks = [word for word in own if KIND_OF[word] in LOOKS]
    parts = [word for word in own if KIND_OF[word] == "part"]
    places = [word for word in own if KIND_OF[word] == "place"]
    grounds = [word for word in own if KIND_OF[word] == "background"]
    thing = _thing(looks, False) if looks and KIND_OF[looks[-1]] == "shape" else " ".join(_ordered(looks))
    if grounds:
        thing = f"{grounds[0]} background"
    elif "object" in own:
        thing = "object"
    for part in parts:
        if part in BESIDE:
            thing = f"{PART_OF[part]} {_thing(near, True)}"
        elif part in ("between", "open"):
            thing = "between objects" if part == "between" else thing or "open background"
        else:
            thing = f"{part} of {_thing(looks, True)}"
    said = " ".join([*([thing] if thing else []), *places])
    return f"{said} on {behind[0]} background" if behind else said


def fires_on(atoms: Iterable[Atom]) -> str:
    """Say on what a feature of a concept fires, as the sentence of an explanation does: `red circles`."""
    words = [word for _, word in atoms]
    if all(KIND_OF[word] in LOOKS for word in words):
        return _thing(words, True)
    if "object" in words:
        return "objects of any kind"
    return phrase(atoms)


def _ordered(words: Iterable[str]) -> list[str]:
    return sorted(words, key=lambda word: LOOKS.index(KIND_OF[word]))


def reworded(name: str, words: Iterable[str], rng: np.random.Generator, often: float = 0.3) -> str:
    """Say some of the words of a name by synonyms."""
    for word in words:
        if word in SYNONYMS and rng.random() < often:
            name = name.replace(word, str(rng.choice(SYNONYMS[word])), 1)
    return name
