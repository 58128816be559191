from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select

from autointerp.db import queries
from autointerp.db.models import StoredBaseRate
from autointerp.db.queries.base_rates import Answers, BaseRateKey
from autointerp.db.queries.labelers import LabelerKey
from tests.rows import dictionary


def test_a_base_rate_is_of_a_name_a_judge_and_the_cells(db):
    with db.session() as session:
        row = dictionary()
        session.add(row)
        judges = [queries.labelers.ensure(session, LabelerKey("judge", model)).id for model in "ab"]
        session.flush()
        key = BaseRateKey(row.id, judges[0], "0" * 64)
        queries.base_rates.add(session, key, "red", Answers(3, 47))
        # What is there stays: another process may have stored it meanwhile.
        queries.base_rates.add(session, key, "red", Answers(9, 41))
        queries.base_rates.add(session, key, "blue", Answers(1, 49))
        queries.base_rates.add(session, replace(key, judge_id=judges[1]), "red", Answers(20, 30))
    with db.session() as session:
        assert queries.base_rates.of_names(session, key) == {"red": (3, 47), "blue": (1, 49)}
        assert queries.base_rates.of_names(session, replace(key, judge_id=judges[1])) == {"red": (20, 30)}
        assert queries.base_rates.of_names(session, replace(key, cells_hash="1" * 64)) == {}
        # They go with their dictionary.
        queries.dictionaries.remove(session, "shapes-turbo.mid.topk")
        assert session.scalar(select(func.count()).select_from(StoredBaseRate)) == 0
