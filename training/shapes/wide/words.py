"""The words of the wider world: those of shapes first, then as many again and more that only renders show.

Naming would be choosing among the answers if shapes-vlm knew the words of the world alone. A word that is here and not
in the world has nothing to gain in a measurement on the world, and must be told apart all the same.
"""

from __future__ import annotations

from autointerp.shapes.scenes import ATTRIBUTES, COLORS as WORLD_COLORS, POSITIONS, SIZES as WORLD_SIZES

COLORS: dict[str, tuple[int, int, int]] = WORLD_COLORS | {
    "white": (248, 248, 248),
    "black": (14, 14, 14),
    "grey": (128, 128, 128),
    "silver": (190, 194, 200),
    "charcoal": (62, 62, 68),
    "maroon": (118, 12, 34),
    "rust": (178, 74, 24),
    "brown": (122, 78, 40),
    "chocolate": (70, 40, 18),
    "tan": (212, 158, 98),
    "cream": (252, 240, 200),
    "peach": (255, 206, 184),
    "salmon": (248, 130, 108),
    "gold": (206, 162, 24),
    "olive": (122, 122, 22),
    "khaki": (184, 182, 92),
    "lime": (168, 236, 40),
    "mint": (160, 242, 198),
    "sage": (128, 172, 138),
    "emerald": (10, 198, 116),
    "pine": (10, 78, 44),
    "teal": (8, 120, 122),
    "azure": (84, 160, 250),
    "navy": (18, 26, 96),
    "steel": (92, 124, 156),
    "lavender": (192, 172, 242),
    "magenta": (228, 28, 196),
    "plum": (98, 30, 84),
    "rose": (226, 72, 124),
    "mauve": (164, 118, 150),
}
"""8-bit colours, far enough from one another to be told apart with the jitter of a scene."""

SHAPES: tuple[str, ...] = (
    *ATTRIBUTES["shape"],
    "oval",
    "rectangle",
    "diamond",
    "pentagon",
    "hexagon",
    "crescent",
    "heart",
    "arrow",
    "drop",
    "dome",
    "trapezoid",
    "parallelogram",
    "frame",
    "arch",
    "house",
    "tree",
    "cloud",
    "flower",
    "gear",
    "bolt",
    "hourglass",
    "fish",
    "mushroom",
    "leaf",
    "chevron",
    "kite",
    "crown",
    "key",
)
PATTERNS: tuple[str, ...] = (
    *ATTRIBUTES["texture"],
    "gridded",
    "zigzag",
    "wavy",
    "hatched",
    "crosshatched",
    "pinstriped",
    "speckled",
    "shaded",
    "bordered",
    "split",
    "scaly",
    "mottled",
    "banded",
    "ringed",
    "rayed",
    "plaid",
)
SIZES: dict[str, float] = WORLD_SIZES | {"mini": 10.5, "huge": 32.0}
"""Radius in pixels of the circle around an object; a huge one stands alone in the centre."""
BACKGROUNDS: tuple[str, ...] = (
    *ATTRIBUTES["background"],
    "grass",
    "brick",
    "water",
    "wood",
    "fog",
    "snow",
    "rain",
    "sunset",
    "lava",
    "ice",
    "hills",
    "paper",
    "marble",
    "leaves",
    "tiles",
    "gravel",
    "metal",
    "confetti",
    "galaxy",
    "overcast",
    "aurora",
    "curtain",
    "mountains",
    "city",
    "honeycomb",
    "bubbles",
    "rainbow",
    "blueprint",
    "static",
    "bamboo",
)
PLACES: tuple[str, ...] = (*POSITIONS, "top half", "bottom half", "left half", "right half", "margin")
"""Regions of the grid. A cell lies in several of them."""
PARTS: tuple[str, ...] = (
    *ATTRIBUTES["part"],
    "left side",
    "right side",
    "top side",
    "bottom side",
    "corner",
    "outside",
    "above",
    "below",
    "left of",
    "right of",
    "between",
    "open",
)
"""Parts of an object, and of the background beside objects. A cell is several of them."""
ON_OBJECT = frozenset(PARTS[:7])
"""Parts that object cells are; the others are parts of the background."""
BESIDE = ("outside", "above", "below", "left of", "right of")
"""Parts of the background that belong to an object, and can be named with its words."""

EXCLUSIVE: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "shape": SHAPES,
    "texture": PATTERNS,
    "size": tuple(SIZES),
    "background": BACKGROUNDS,
}
"""Kinds of which a cell has one value at most. The values of the world come first, at the same indices."""
LOOKS = ("size", "color", "texture", "shape")
"""Kinds of an object's look, in the order in which they are said."""
KINDS: dict[str, tuple[str, ...]] = EXCLUSIVE | {"place": PLACES, "part": PARTS, "object": ("object", "background")}
WORDS: tuple[str, ...] = tuple(word for values in KINDS.values() for word in values)
"""Every word, kind by kind."""
KIND_OF: dict[str, str] = {word: kind for kind, values in KINDS.items() for word in values}
INDEX: dict[str, int] = {word: i for i, word in enumerate(WORDS)}
WORLD: frozenset[str] = frozenset(
    (*(word for values in ATTRIBUTES.values() for word in values), *POSITIONS, "object", "background")
)
"""Words that pictures of the diffusion models show too."""
FINE: frozenset[str] = frozenset((*PLACES[5:], *PARTS[2:]))
"""Words that are finer than those of the world, said only where finer words are asked for."""

NEVER_SEEN: tuple[str, ...] = ("emerald", "rust", "key", "kite", "scaly", "bamboo")
"""Words that no picture, question or caption of the training has: what is made of them is reported."""
LEFT_OUT: tuple[tuple[str, str], ...] = (
    # Of the world alone.
    ("purple", "triangle"),
    ("orange", "ring"),
    ("cyan", "cross"),
    ("pink", "dotted"),
    # A word of the world and one that only renders show.
    ("red", "heart"),
    ("blue", "arrow"),
    ("green", "crown"),
    ("yellow", "wavy"),
    ("teal", "star"),
    ("maroon", "circle"),
    ("navy", "square"),
    ("striped", "house"),
    ("small", "flower"),
    ("large", "zigzag"),
    # Words that only renders show.
    ("black", "fish"),
    ("white", "leaf"),
    ("lime", "hexagon"),
    ("magenta", "crescent"),
    ("gold", "gear"),
    ("lavender", "mushroom"),
    ("brown", "bolt"),
    ("salmon", "tree"),
    ("olive", "gridded"),
    ("azure", "speckled"),
    ("mint", "rayed"),
    ("grey", "plaid"),
    ("hatched", "drop"),
    ("banded", "oval"),
    ("ringed", "frame"),
    ("huge", "cloud"),
)
"""Pairs of words that no object of a training picture, no name and no question has together."""
_LEFT_OUT = tuple(frozenset(pair) for pair in LEFT_OUT)


def is_left_out(words: frozenset[str] | set[str]) -> bool:
    """Return whether words have a pair that is left out of training, or a word that is never seen in it."""
    return any(pair <= words for pair in _LEFT_OUT) or not words.isdisjoint(NEVER_SEEN)
