"""Eyes that benchmarks of scores judge with: exact ones, noisy ones, and shapes-vlm.

Eyes are judges that give each answer a probability. shapes-vlm is asked each question once, in large batches, and its
answers are kept in a file, so that scores can be compared on the same answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from autointerp.labeling.judging.questions import TrialQuestion
from autointerp.labeling.protocol import CropEvidence, Trial, Verdict

FLIPPED = 0.15
"""Share of the exact answers that noisy eyes turn round."""
BATCH = 64


class Eyes(Protocol):
    """A judge of marked cells and of whole pictures."""

    name: str

    def learn(self, question: TrialQuestion, trials: Iterable[Trial]) -> None:
        """Answer trials beforehand, all at once."""
        ...

    def judge(self, question: TrialQuestion, trials: Sequence[Trial]) -> list[Verdict]:
        """Return the verdicts; the value of each is the probability of yes."""
        ...


class Asked:
    """Eyes as a judge of one question."""

    together = 1

    def __init__(self, eyes: Eyes, question: TrialQuestion) -> None:
        self._eyes, self._question = eyes, question

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        """Return the verdicts."""
        return self._eyes.judge(self._question, trials)


class ExactEyes:
    """Reads the truth of a cell off the picture."""

    name = "exact eyes"

    def __init__(self) -> None:
        self._readers: dict[str, object] = {}

    def learn(self, question: TrialQuestion, trials: Iterable[Trial]) -> None:
        """Do nothing: reading is fast."""

    def judge(self, question: TrialQuestion, trials: Sequence[Trial]) -> list[Verdict]:
        """See `Eyes`."""
        from autointerp.shapes.reader import ReaderJudge

        reader = self._readers.setdefault(question.purpose, ReaderJudge(question))
        assert isinstance(reader, ReaderJudge)
        return reader.judge(trials)


class NoisyEyes:
    """Exact eyes of which a share of the answers is turned round; equal questions get equal answers."""

    def __init__(self, exact: ExactEyes, flipped: float = FLIPPED) -> None:
        self.name = f"{flipped:.0%} flipped"
        self._exact, self._flipped = exact, flipped

    def learn(self, question: TrialQuestion, trials: Iterable[Trial]) -> None:
        """Do nothing: reading is fast."""

    def judge(self, question: TrialQuestion, trials: Sequence[Trial]) -> list[Verdict]:
        """See `Eyes`."""
        found = []
        for verdict in self._exact.judge(question, trials):
            key = _key(question, verdict.trial).encode()
            turned = np.random.default_rng(list(key)).random() < self._flipped
            holds = bool(verdict.holds) != turned
            found.append(Verdict(verdict.trial, holds, value=float(holds)))
        return found


class VlmEyes:
    """shapes-vlm, one picture a request.

    Args:
        kept: A file of answers, which is read and added to; None keeps them in memory.
    """

    name = "shapes-vlm"

    def __init__(self, kept: Path | None = None) -> None:
        from autointerp.labeling.asking.local import LocalChat
        from autointerp.shapes.vlm import load_shapes_vlm

        self._vlm = load_shapes_vlm()
        self._asker = LocalChat(self._vlm, "shapes-vlm")
        self._kept = kept
        self.asked = 0
        """Questions that were put to the model."""
        self._known: dict[str, float] = {}
        if kept is not None and kept.is_file():
            self._known = dict(json.loads(line) for line in kept.read_text().splitlines())

    def learn(self, question: TrialQuestion, trials: Iterable[Trial]) -> None:
        """See `Eyes`; questions of one name lie together, since they share a prompt."""
        from autointerp.labeling.asking.constraint import VERDICT
        from autointerp.labeling.judging.vlm_judge import VlmJudge
        from autointerp.shapes.vlm import JUDGING

        judge = VlmJudge(self._asker, JUDGING, 1, question)
        new = {key: trial for trial in trials if (key := self._name(question, trial)) not in self._known}
        order = sorted(new, key=lambda key: (new[key].name, new[key].explanation))
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            answers = self._vlm.choose([judge.messages([new[key]]) for key in some], VERDICT)
            found = {key: round(answer.shares[0], 5) for key, answer in zip(some, answers, strict=True)}
            self._known |= found
            self.asked += len(found)
            if self._kept is not None:
                with self._kept.open("a") as file:
                    file.writelines(json.dumps(one) + "\n" for one in found.items())

    def judge(self, question: TrialQuestion, trials: Sequence[Trial]) -> list[Verdict]:
        """See `Eyes`."""
        self.learn(question, trials)
        shares = [self._known[self._name(question, trial)] for trial in trials]
        return [Verdict(trial, share > 0.5, value=share) for trial, share in zip(trials, shares, strict=True)]

    def _name(self, question: TrialQuestion, trial: Trial) -> str:
        return f"{self._vlm.name}|{_key(question, trial)}"


def _key(question: TrialQuestion, trial: Trial) -> str:
    """Return what makes two questions the same."""
    crop: CropEvidence | None = trial.crop
    assert crop is not None
    place = "" if question.whole else f"{crop.cell} {crop.box}"
    return f"{question.prompt}|{trial.name}|{trial.explanation}|{crop.prompt}|{crop.image_id}|{place}"
