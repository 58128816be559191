"""Scores, and the judges that answer their trials: two registries, each row loaded when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autointerp.labeling.asking import VLMS
from autointerp.registry import Kind, Registry

if TYPE_CHECKING:
    from autointerp.labeling.judging.methods import Method
    from autointerp.labeling.setup import JudgeKind

_HERE = "autointerp.labeling.judging"

SCORES: Registry[Kind[type[Method]]] = Registry(
    "score",
    [
        Kind("gain", "how much more often the name holds where the feature is active", f"{_HERE}.gain:Gain"),
        Kind("embedding", "AUROC of the words' similarity with crops", f"{_HERE}.embedding:Embedding"),
        Kind("detection", "does the label hold for the image", f"{_HERE}.detection:Detection"),
        Kind("fuzzing", "is the marked place where the label says", f"{_HERE}.fuzzing:Fuzzing"),
        Kind("apart", "do the words tell the feature from those of nearly the same name", f"{_HERE}.apart:Apart"),
        Kind("intruder", "which of the marked crops does not belong", f"{_HERE}.intruder:Intruder"),
        Kind("generative", "does the feature fire in images made from the words", f"{_HERE}.generative:Generative"),
        Kind("shabalin", "the seed paper's own score", f"{_HERE}.shabalin:Shabalin"),
    ],
)
"""The scores: each a class of `Method`."""

CONTROLS: Registry[Kind[JudgeKind]] = Registry(
    "control",
    [
        Kind("oracle", "knows the truth: a score of 1.0", f"{_HERE}.controls:OracleJudge"),
        Kind("coin", "answers at random: scores at chance", f"{_HERE}.controls:CoinJudge"),
        Kind("always-yes", "always says yes: scores at chance", f"{_HERE}.controls:YesJudge"),
    ],
)
"""Judges whose score is known before; they test the scores."""

JUDGES: Registry[Kind[JudgeKind]] = Registry(
    "judge",
    [
        *VLMS.values(),
        Kind("reader", "reads the truth off pictures of shapes", "autointerp.shapes.reader:ReaderJudge"),
        *CONTROLS.values(),
    ],
)
"""The judges that a command can name: each makes itself, see `JudgeKind`."""


def score_method(name: str) -> Method:
    """Return the score of that name.

    Raises:
        UsageError: There is no such score.
    """
    return SCORES.check(name).load()()
