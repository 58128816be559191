"""Backgrounds of the wider world, each drawn from sines, bands and seeded noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autointerp.shapes.scenes import SIZE

YY, XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
"""Rows and columns of the middles of pixels, float32 [SIZE, SIZE]."""
Rgb = tuple[float, float, float]


def _rgb(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue], np.float32)


def _mix(share: np.ndarray, low: Rgb, high: Rgb) -> np.ndarray:
    """A colour for each pixel, from `low` where the share is 0 to `high` where it is 1."""
    share = np.clip(share, 0, 1)[..., None]
    return np.float32(1) * ((1 - share) * np.array(low, np.float32) + share * np.array(high, np.float32))


def _noise(rng: np.random.Generator, cell: float, stretch: tuple[float, float] = (1, 1)) -> np.ndarray:
    """Smooth noise in [0, 1], whose features are `cell` pixels wide, and wider by `stretch` (x, y)."""
    u, v = XX / (cell * stretch[0]), YY / (cell * stretch[1])
    grid = rng.random((int(v.max()) + 2, int(u.max()) + 2)).astype(np.float32)
    i, j = v.astype(int), u.astype(int)
    f, g = v - i, u - j
    f, g = f * f * (3 - 2 * f), g * g * (3 - 2 * g)
    top = grid[i, j] * (1 - g) + grid[i, j + 1] * g
    return top * (1 - f) + (grid[i + 1, j] * (1 - g) + grid[i + 1, j + 1] * g) * f


def _dots(rng: np.random.Generator, count: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the outline of the nearest of some discs, and which it is: float32 and int [SIZE, SIZE]."""
    centres, radii = rng.uniform(0, SIZE, (count, 2)), rng.uniform(low, high, count)
    away = np.hypot(XX - centres[:, 0, None, None], YY - centres[:, 1, None, None]) - radii[:, None, None]
    return away.min(0), away.argmin(0)


def _nearest(rng: np.random.Generator, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """How much nearer the nearest of scattered points is than the next, and which it is."""
    n = int(SIZE / pitch) + 2
    at = (np.moveaxis(np.mgrid[0:n, 0:n], 0, -1).reshape(-1, 2) - 0.5 + rng.uniform(-0.4, 0.4, (n * n, 2))) * pitch
    away = np.hypot(XX - at[:, 0, None, None], YY - at[:, 1, None, None])
    order = np.partition(away, 1, axis=0)
    return order[1] - order[0], away.argmin(0)


def _ridge(rng: np.random.Generator, height: float, rough: float, period: float) -> np.ndarray:
    """Heights in pixels from the top of a skyline of hills, float32 [1, SIZE]."""
    x, a = XX[:1], rng.random(3) * 7
    waves = np.sin(2 * np.pi * x / period + a[0]) + 0.5 * np.sin(2 * np.pi * x / (0.43 * period) + a[1])
    return SIZE * height + rough * waves


def _grass(rng: np.random.Generator) -> np.ndarray:
    blades = _noise(rng, 2.0, (1, 5))
    return _mix(blades, (52, 112, 36), (128, 190, 76))


def _brick(rng: np.random.Generator) -> np.ndarray:
    row = np.floor(YY / 8)
    x, y = (XX + 8 * (row % 2)) % 16, YY % 8
    tone = rng.random((13, 8)).astype(np.float32)[row.astype(int), ((XX + 8 * (row % 2)) // 16).astype(int)]
    return np.where(((x < 1.6) | (y < 1.6))[..., None], np.float32(196), _mix(tone, (150, 66, 48), (182, 90, 66)))


def _water(rng: np.random.Generator) -> np.ndarray:
    a = rng.random(2) * 7
    ripples = np.sin(YY / 1.9 + 1.6 * np.sin(XX / 9 + a[0]) + a[1]) + 0.6 * np.sin(XX / 15 - YY / 5 + a[0])
    return _mix(ripples / 3.2 + 0.5, (22, 88, 140), (104, 186, 214))


def _wood(rng: np.random.Generator) -> np.ndarray:
    plank = np.floor(YY / 24)
    grain = np.sin(YY * 1.5 + 3 * np.sin(XX / 22 + plank * 2.1 + rng.random() * 7)) * 0.25 + 0.5 + 0.1 * (plank % 2)
    return np.where((YY % 24 < 1.5)[..., None], np.float32(58), _mix(grain, (120, 76, 36), (186, 132, 76)))


def _fog(rng: np.random.Generator) -> np.ndarray:
    return _mix(0.6 * _noise(rng, 24, (2, 1)) + 0.4 * _noise(rng, 11, (2, 1)), (168, 172, 176), (226, 228, 230))


def _snow(rng: np.random.Generator) -> np.ndarray:
    away, _ = _dots(rng, 90, 0.6, 2.0)
    return _mix(0.5 - away, (122, 142, 168), (252, 253, 255))


def _rain(rng: np.random.Generator) -> np.ndarray:
    slanted = XX + YY * 0.35
    streaks = _noise(rng, 1.7, (1, 1))[(YY // 1.0).astype(int) // 9, slanted.astype(int) % SIZE] > 0.72
    return np.where(streaks[..., None], _rgb(176, 194, 210), _mix(YY / SIZE, (58, 68, 80), (88, 100, 112)))


def _sunset(rng: np.random.Generator) -> np.ndarray:
    y = YY / SIZE + 0.03 * np.sin(XX / 14 + rng.random() * 7)
    upper = _mix(y / 0.55, (92, 40, 112), (238, 106, 74))
    return np.where((y < 0.55)[..., None], upper, _mix((y - 0.55) / 0.45, (244, 128, 70), (255, 218, 120)))


def _lava(rng: np.random.Generator) -> np.ndarray:
    gap, _ = _nearest(rng, 15)
    return _mix(1.3 - gap / 3.0, (46, 20, 16), (255, 132, 20))


def _ice(rng: np.random.Generator) -> np.ndarray:
    gap, which = _nearest(rng, 26)
    return _mix(gap / 2.2, (248, 254, 255), (168, 214, 232)) + ((which % 3) * 9.0)[..., None]


def _hills(rng: np.random.Generator) -> np.ndarray:
    image = _mix(YY / SIZE, (176, 214, 240), (216, 234, 244))
    for height, color in ((0.34, (136, 178, 130)), (0.54, (98, 150, 88)), (0.74, (62, 116, 60))):
        below = _ridge(rng, height, 6, 58) < YY
        image = np.where(below[..., None], _rgb(*color), image)
    return image


def _paper(rng: np.random.Generator) -> np.ndarray:
    rules = ((YY + rng.integers(10)) % 10 < 1.2)[..., None]
    return np.where(rules, _rgb(150, 178, 216), _rgb(246, 244, 234)) * np.ones((SIZE, SIZE, 1))


def _marble(rng: np.random.Generator) -> np.ndarray:
    warp = 3.2 * _noise(rng, 26) + 1.4 * _noise(rng, 11)
    veins = np.abs(np.sin((XX + YY) / 26 + 2.6 * warp))
    return _mix(veins * 3.0, (128, 128, 138), (234, 230, 226))


def _leaves(rng: np.random.Generator) -> np.ndarray:
    gap, which = _nearest(rng, 12)
    tone = rng.random(100).astype(np.float32)[which % 100]
    return _mix(tone, (24, 74, 34), (96, 142, 44)) * np.clip(0.45 + gap / 5, 0, 1)[..., None]


def _tiles(rng: np.random.Generator) -> np.ndarray:
    gap = np.minimum(XX % 12, YY % 12) < 1.4
    tone = rng.random((8, 8)).astype(np.float32)[(YY // 12).astype(int), (XX // 12).astype(int)]
    return np.where(gap[..., None], np.float32(246), _mix(tone, (96, 162, 176), (146, 206, 212)))


def _gravel(rng: np.random.Generator) -> np.ndarray:
    gap, which = _nearest(rng, 7)
    tone = rng.random(300).astype(np.float32)[which % 300]
    return _mix(tone, (104, 98, 92), (196, 190, 180)) * np.clip(0.4 + gap / 2.5, 0, 1)[..., None]


def _metal(rng: np.random.Generator) -> np.ndarray:
    brushed = _noise(rng, 1.6, (40, 1))
    sheen = 0.5 + 0.5 * np.sin(YY / 15 + rng.random() * 7)
    return _mix(0.45 * brushed + 0.55 * sheen, (108, 114, 122), (212, 217, 222))


def _confetti(rng: np.random.Generator) -> np.ndarray:
    away, which = _dots(rng, 110, 1.6, 2.4)
    colors = np.array([(226, 52, 66), (250, 196, 40), (58, 150, 226), (76, 186, 92), (186, 88, 206)], np.float32)
    return np.where((away < 0)[..., None], colors[which % 5], np.float32(242))


def _galaxy(rng: np.random.Generator) -> np.ndarray:
    away, _ = _dots(rng, 70, 0.5, 1.5)
    cloud = np.clip(_noise(rng, 26) * 1.6 - 0.6, 0, 1)
    return _mix(0.4 - away, (0, 0, 0), (255, 250, 236)) + _mix(cloud, (8, 6, 16), (96, 40, 110))


def _overcast(rng: np.random.Generator) -> np.ndarray:
    puffs = 0.6 * _noise(rng, 19, (1.6, 1)) + 0.4 * _noise(rng, 9, (1.4, 1))
    return _mix((puffs - 0.35) * 3.2, (94, 140, 204), (250, 250, 252))


def _aurora(rng: np.random.Generator) -> np.ndarray:
    bands = np.sin(XX / 11 + 1.6 * np.sin(YY / 26 + rng.random() * 7)) * 0.5 + 0.5
    glow = bands**2 * np.clip(1.25 - YY / SIZE, 0, 1)
    return _mix(glow, (8, 16, 38), (66, 232, 158))


def _curtain(rng: np.random.Generator) -> np.ndarray:
    folds = np.sin(XX / 3.4 + 0.7 * np.sin(YY / 34 + rng.random() * 7))
    return _mix(folds / 2 + 0.5, (84, 10, 26), (178, 40, 56))


def _mountains(rng: np.random.Generator) -> np.ndarray:
    image = _mix(YY / SIZE, (198, 210, 228), (236, 226, 220))
    for height, scale, color in ((0.2, 34, (128, 140, 166)), (0.46, 24, (86, 92, 120))):
        x = (XX + rng.random() * scale) / scale
        peak = SIZE * height + np.abs((x % 1.0) - 0.5) * 2 * scale
        image = np.where((peak < YY)[..., None], _rgb(*color), image)
        image = np.where(((peak < YY) & (peak + 6 > YY) & (peak < SIZE * height + 0.5 * scale))[..., None], 250, image)
    return image


def _city(rng: np.random.Generator) -> np.ndarray:
    column = (XX // 12).astype(int)
    roof = rng.uniform(6, 46, 8)[column]
    lit = (XX % 4 > 1.2) & (XX % 4 < 3) & (YY % 6 > 2) & (YY % 6 < 5) & (XX % 12 > 1) & (XX % 12 < 11)
    on = rng.random((17, 25))[(YY // 6).astype(int), (XX // 4).astype(int)] < 0.55
    wall = np.where((lit & on)[..., None], _rgb(250, 216, 118), (np.float32(44) + column % 3 * 12)[..., None])
    return np.where((roof < YY)[..., None], wall, _rgb(74, 86, 128))


def _honeycomb(rng: np.random.Generator) -> np.ndarray:
    pitch, away = 11.0, []
    for shift in (0.0, 0.5):
        x = ((XX / pitch + shift) % 1.0 - 0.5) * pitch
        y = ((YY / (pitch * 1.732) + shift) % 1.0 - 0.5) * pitch * 1.732
        away.append(np.maximum(np.abs(x), np.abs(x) / 2 + np.abs(y) * 0.866))
    wall = np.minimum(*away) > pitch / 2 - 0.9
    return np.where(wall[..., None], _rgb(128, 78, 14), _mix(_noise(rng, 12), (232, 168, 44), (250, 200, 84)))


def _bubbles(rng: np.random.Generator) -> np.ndarray:
    centres, radii = rng.uniform(0, SIZE, (26, 2)), rng.uniform(4, 9, 26)
    away = np.hypot(XX - centres[:, 0, None, None], YY - centres[:, 1, None, None]) - radii[:, None, None]
    return _mix(1.2 - np.abs(away).min(0), (64, 130, 176), (238, 250, 255))


def _rainbow(rng: np.random.Generator) -> np.ndarray:
    hue = (XX / SIZE + 0.05 * rng.random()) * 6
    rgb = [np.clip(np.abs((hue + shift) % 6 - 3) - 1, 0, 1) for shift in (0, 4, 2)]
    return np.float32(70) + 165 * np.stack(rgb, -1)


def _blueprint(rng: np.random.Generator) -> np.ndarray:
    x, y = XX + rng.integers(8), YY + rng.integers(8)
    fine, coarse = np.minimum(x % 8, y % 8) < 1, np.minimum(x % 32, y % 32) < 1.2
    return _mix(0.3 * fine + 0.7 * coarse, (24, 62, 138), (206, 224, 248))


def _static(rng: np.random.Generator) -> np.ndarray:
    return np.repeat((rng.random((SIZE, SIZE, 1)) * 235 + 10).astype(np.float32), 3, 2)


def _bamboo(rng: np.random.Generator) -> np.ndarray:
    stalk = (XX // 12).astype(int)
    joint = (YY + rng.integers(0, 30, 9)[stalk]) % 30 < 2
    tone = 1 - np.abs(XX % 12 - 6) / 6
    return np.where(joint[..., None], _rgb(70, 96, 34), _mix(tone * 1.2, (84, 122, 44), (188, 208, 104)))


BACKDROPS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    paint.__name__.lstrip("_"): paint
    for paint in (
        _grass, _brick, _water, _wood, _fog, _snow, _rain, _sunset, _lava, _ice, _hills, _paper, _marble, _leaves,
        _tiles, _gravel, _metal, _confetti, _galaxy, _overcast, _aurora, _curtain, _mountains, _city, _honeycomb,
        _bubbles, _rainbow, _blueprint, _static, _bamboo,
    )
}  # fmt: skip
"""The backgrounds that the world of shapes does not have: from a seeded generator, float32 [SIZE, SIZE, 3]."""
