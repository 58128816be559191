from __future__ import annotations

import pytest

from autointerp.dictionaries.fitting import FitConfig, make_trainer
from autointerp.dictionaries.kinds import FITTED, KINDS
from autointerp.project.settings import DictionarySettings


def test_each_row_names_its_class_and_what_fits_it() -> None:
    assert set(FITTED) < set(KINDS)
    for name, kind in KINDS.items():
        assert kind.load().kind == name  # type: ignore[attr-defined]
        assert set(kind.options) <= set(DictionarySettings.model_fields)


@pytest.mark.parametrize("kind", sorted(FITTED))
def test_each_fitted_kind_begins_with_the_settings_of_a_workspace(kind: str) -> None:
    settings = DictionarySettings(passes=3).model_dump()
    options = {name: settings[name] for name in FITTED[kind].options}
    trainer = make_trainer(FitConfig(kind, 8, 2, 64, 1, (0,), options=options), 4)
    assert trainer.rounds_wanted in (None, 1)


def test_numbers_of_latents_follow_from_the_kind() -> None:
    assert [FITTED[kind].latents(100, 6) for kind in ("topk", "neurons", "pca")] == [100, 6, 12]
    assert FITTED["pca"].latents(4, 6) == 4
