"""Base rates of names: how often a name holds in random cells of a layer, asked of a judge once for all its labels.

A base rate is stored with the first score that it went into, in one transaction, so that a later run finds it. One with
questions that got no readable answer is not stored: a later run would take it for all of them. That run asks again, and
gets the answers that are known without paying for them twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.db.queries.base_rates import Answers, BaseRateKey
from autointerp.labeling.protocol import BaseRate, Trial, Verdict
from autointerp.project.context import identity

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.db.engine import Database
    from autointerp.labeling.protocol import CropEvidence

LEAST_READ = 0.5
"""Share of a name's questions that must have a readable answer; with fewer there is no base rate."""


@dataclass(frozen=True)
class AskedBaseRate:
    """A base rate, with the verdicts that it was made of where they are not stored yet."""

    rate: BaseRate
    verdicts: Sequence[Verdict] = field(default=())

    @property
    def waits(self) -> bool:
        """Whether some of the questions wait for a batch."""
        return any(verdict.waits for verdict in self.verdicts)


class BaseRates:
    """The base rates of one judge at one dictionary's layer; threads that need the same name share one asking.

    Args:
        db: The database.
        dictionary_id: The dictionary.
        judge_id: The judge.
        cells: The cells that the judge is shown.
    """

    def __init__(self, db: Database, dictionary_id: int, judge_id: int, cells: Sequence[CropEvidence]) -> None:
        shown = sorted((crop.prompt, *(crop.cell or ())) for crop in cells)
        self._key = BaseRateKey(dictionary_id, judge_id, identity(shown))
        with db.session() as session:
            known = queries.base_rates.of_names(session, self._key)
        self._known: dict[str, Future[AskedBaseRate]] = {}
        for name, answers in known.items():
            self._known[name] = Future()
            self._known[name].set_result(AskedBaseRate(BaseRate(*answers)))
        self._lock, self._unstored = threading.Lock(), set[str]()

    def get(self, name: str, trials: Sequence[Trial], ask: Callable[[Sequence[Trial]], list[Verdict]]) -> AskedBaseRate:
        """Return the base rate of a name; the first thread asks, and the others wait for its answers.

        Raises:
            AutointerpError: What `ask` raises.
        """
        with self._lock:
            others = self._known.get(name)
            if others is None:
                own = self._known[name] = Future[AskedBaseRate]()
        if others is not None:
            return others.result()
        try:
            asked = AskedBaseRate(*_counted(ask(trials)))
        except BaseException as error:
            own.set_exception(error)
            raise
        with self._lock:
            self._unstored.add(name)
        own.set_result(asked)
        return asked

    def store(self, session: Session, name: str, asked: AskedBaseRate) -> Sequence[Verdict]:
        """Store the base rate of a name where it is new and whole; return the verdicts of the caller's score.

        Args:
            session: The session that stores the first score of the name.
            name: The name.
            asked: Its base rate.
        """
        with self._lock:
            if name not in self._unstored:
                return ()
            self._unstored.discard(name)
        if asked.rate.rate is not None and not asked.rate.unscored:
            queries.base_rates.add(session, self._key, name, Answers(asked.rate.yes, asked.rate.no))
        return asked.verdicts


def _counted(verdicts: list[Verdict]) -> tuple[BaseRate, list[Verdict]]:
    """Return the base rate of verdicts, without answers where too few could be read."""
    yes, no = (sum(v.holds is holds for v in verdicts) for holds in (True, False))
    unread = len(verdicts) - yes - no
    if yes + no < LEAST_READ * len(verdicts):
        return BaseRate(0, 0, unread), verdicts
    return BaseRate(yes, no, unread), verdicts
