"""Distilled models: made to paint in a few steps without guidance, which their files do not say outright.

A scheduler of consistency models tells one kind. SD-Turbo and SDXL-Turbo have an Euler scheduler with trailing
timesteps, which their base models lack. Others are told by words of their names. Run as their base models are, they
give burnt pictures and take ten times as long.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, NamedTuple

from autointerp.diffusion.families.base import Configs, Family

_CONSISTENCY = ("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler")
_WORDS = ("lcm", "lightning", "hyper", "turbo", "dmd", "dmd2")
_STEPS = re.compile(r"(\d+) ?steps?\b")
_LCM_GUIDANCE = 8.0
"""Guidance of the models' own pages, for U-Nets that take it as an input: it needs no second call."""
_OWN_RULES = ("flux", "flux2")
"""Families that tell their distilled models themselves."""


class Distilled(NamedTuple):
    """How a distilled model is run, and how it was told.

    Attributes:
        steps: Denoising steps.
        guidance: Guidance scale; 0 for none.
        why: What tells that it is distilled, as a clause.
    """

    steps: int
    guidance: float
    why: str


def distilled(name: str, family: Family, configs: Configs) -> Distilled | None:
    """Return how a model is run that was distilled to few steps; None for one that was not, as far as is known.

    Args:
        name: The model's name; the last part of a path counts.
        family: Its family.
        configs: Configurations of its components.
    """
    if family.name in _OWN_RULES:
        return None
    scheduler = configs.get("scheduler", {})
    kind = str(scheduler.get("_class_name", ""))
    words = " ".join(re.findall(r"[a-z]+2?(?![a-z0-9])|[a-z]+|\d+", PurePath(name).name.lower()))
    said = next((word for word in _WORDS if word in words.split()), None)
    why = f"its name says {said}"
    if kind in _CONSISTENCY or said == "lcm":
        embedded = configs[family.denoiser].get("time_cond_proj_dim") is not None
        guidance = _LCM_GUIDANCE if embedded else 0.0
        return Distilled(family.few, guidance, f"its scheduler is {kind}" if kind in _CONSISTENCY else why)
    if said is not None and (match := _STEPS.search(words)) and 1 <= int(match[1]) <= 16:
        return Distilled(int(match[1]), 0.0, f"{why} and {match[1]} steps")
    trailing = _is_trailing_euler(kind, scheduler) and family.name in ("sd", "sdxl")
    if trailing and said in (None, "turbo"):
        return Distilled(1, 0.0, "its scheduler is Euler with trailing timesteps")
    return Distilled(family.few, 0.0, why) if said is not None else None


def _is_trailing_euler(kind: str, scheduler: Any) -> bool:
    """Whether a scheduler is that of Turbo; models that begin in pure noise have trailing timesteps for that reason."""
    plain = scheduler.get("prediction_type", "epsilon") == "epsilon" and not scheduler.get("rescale_betas_zero_snr")
    return "Euler" in kind and scheduler.get("timestep_spacing") == "trailing" and plain
