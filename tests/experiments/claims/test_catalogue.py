"""The declared claims are whole: sources, studies, experiments and places exist."""

from __future__ import annotations

from autointerp.experiments.claims.catalogue import CLAIMS, SOURCES
from autointerp.experiments.claims.studies import FULL, studies_of
from autointerp.experiments.kinds import DECIDING, EXPERIMENTS


def test_each_claim_has_its_paper_and_is_decided_by_experiments_of_its_studies() -> None:
    studies = {study.name: study for study in studies_of(FULL)}
    assert len({claim.key for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.source for claim in CLAIMS} == set(SOURCES)
    assert {claim.experiment for claim in CLAIMS} == set(DECIDING)
    for claim in CLAIMS:
        assert claim.theirs
        assert claim.contrasts
        for name in claim.studies:
            parts = {part.experiment for part in studies[name].parts}
            assert claim.experiment == "fits" or claim.experiment in parts, claim.key
            for contrast in claim.contrasts:
                for _, term in (*contrast.left, *contrast.right):
                    # Every brace of a name is known in the study.
                    assert "{" not in term.name.format(**studies[name].places)
                    assert "{" not in term.group.format(**studies[name].places)


def test_the_experiments_that_decide_are_of_the_registry() -> None:
    assert set(DECIDING) - {"fits"} < set(EXPERIMENTS)


def test_each_claim_is_tested_on_the_models_that_it_is_about() -> None:
    tested = {study for claim in CLAIMS for study in claim.studies}
    assert tested == {study.name for study in studies_of(FULL)}
