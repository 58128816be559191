from __future__ import annotations

import numpy as np
import pytest

from autointerp.labeling.judging.controls import CoinJudge, OracleJudge, YesJudge
from autointerp.labeling.protocol import Trial

TRIALS = [Trial("red", "", None, number % 3 == 0, prompt=str(number), latent=1) for number in range(400)]


def test_the_oracle_knows_and_yes_does_not() -> None:
    assert [v.holds for v in OracleJudge().judge(TRIALS)] == [t.truth for t in TRIALS]
    assert [v.value for v in YesJudge().judge(TRIALS)] == [1.0] * len(TRIALS)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_coin_falls_by_the_seed_and_the_trials_alone(seed: int) -> None:
    said = [v.holds for v in CoinJudge(seed).judge(TRIALS)]
    assert said == [v.holds for v in CoinJudge(seed).judge(TRIALS)]
    assert said != [v.holds for v in CoinJudge(seed + 1).judge(TRIALS)]
    assert abs(np.mean(np.array(said, bool)) - 0.5) < 0.1
    # Truth plays no part.
    other = [Trial("red", "", None, not t.truth, prompt=t.prompt, latent=1) for t in TRIALS]
    assert said == [v.holds for v in CoinJudge(seed).judge(other)]
