"""A claim is decided by whole intervals, part by part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autointerp.experiments.claims.claim import LEAST, Claim, Contrast, Term, decide, mean_of
from autointerp.experiments.protocol import Figure
from autointerp.views.verdicts import ClaimVerdict, Decision

PLACES = {"last": 3}


def figure(way: str, value: float | None, reach: float = 0.02, name: str = "success") -> Figure:
    low, high = (None, None) if value is None else (value - reach, value + reach)
    return Figure(name, "late, step 3", way, value, low, high, 200)


def contrast(left: str, right: str, margin: float = 0.05, within: float | None = None) -> Contrast:
    first, second = (((1.0, Term("success", "late, step {last}", way)),) for way in (left, right))
    return Contrast(f"{left} less {right}", first, second, margin, within)


def claim(*contrasts: Contrast) -> Claim:
    return Claim("key", "Features edit", "2410.22366", "no figure", "edit", ("turbo",), contrasts)


@pytest.mark.parametrize(
    ("value", "reach", "decision"),
    [(0.5, 0.02, "holds"), (0.2, 0.02, "fails"), (0.25, 0.02, "undecided"), (0.5, 0.4, "undecided")],
)
def test_the_whole_interval_must_lie_on_one_side(value: float, reach: float, decision: Decision) -> None:
    found = decide(
        claim(contrast("sae", "random")),
        "turbo",
        "turbo",
        [figure("sae", value, reach), figure("random", 0.2, 0)],
        PLACES,
    )
    assert found.verdict.verdict == decision
    assert found.verdict.ours == pytest.approx(value - 0.2)
    assert found.verdict.ci_low == pytest.approx(value - 0.2 - reach)
    assert (found.n, found.verdict.claim, found.verdict.source) == (200, "Features edit (turbo)", "arXiv 2410.22366")


@pytest.mark.parametrize(
    ("value", "reach", "decision"),
    [(0.2, 0.05, "holds"), (0.5, 0.05, "fails"), (0.02, 0.05, "fails"), (0.25, 0.1, "undecided")],
)
def test_equal_means_an_interval_inside_both_ends(value: float, reach: float, decision: Decision) -> None:
    figures = [figure("itda", value, reach), figure("sae", 0.2, 0)]
    found = decide(claim(contrast("itda", "sae", within=0.1)), "turbo", "turbo", figures, PLACES)
    assert found.verdict.verdict == decision


def test_all_parts_must_hold_and_one_is_enough_to_fail() -> None:
    both = claim(contrast("sae", "random"), contrast("sae", "neurons"))

    def verdict(random: float, neurons: float) -> tuple[str, float | None]:
        figures = [figure("sae", 0.6), figure("random", random), figure("neurons", neurons)]
        found = decide(both, "turbo", "turbo", figures, PLACES).verdict
        return found.verdict, None if found.ours is None else round(found.ours, 6)

    assert verdict(0.1, 0.2) == ("holds", 0.4)
    assert verdict(0.1, 0.8) == ("fails", -0.2)
    assert verdict(0.1, 0.55) == ("undecided", 0.05)
    # A part that fails counts, whatever another leaves open.
    assert verdict(0.8, 0.55) == ("fails", -0.2)


def test_a_premise_that_does_not_hold_leaves_the_claim_open() -> None:
    given = replace(contrast("sae", "neurons"), premise=True)
    tested = claim(given, contrast("sae", "random"))

    def found(neurons: float, random: float) -> ClaimVerdict:
        figures = [figure("sae", 0.6), figure("random", random), figure("neurons", neurons)]
        return decide(tested, "turbo", "turbo", figures, PLACES).verdict

    assert found(0.1, 0.2).verdict == "holds"
    assert found(0.1, 0.8).verdict == "fails"
    # The figure is that of the claim, however badly the premise does.
    for random in (0.2, 0.8):
        undecided = found(0.9, random)
        assert undecided.verdict == "undecided"
        assert undecided.ours == pytest.approx(0.6 - random)
        assert undecided.reason.startswith("premise: sae less neurons")


def test_too_few_decide_nothing() -> None:
    few = [replace(one, n=LEAST - 1) for one in (figure("sae", 0.9), figure("random", 0.1))]
    found = decide(claim(contrast("sae", "random")), "turbo", "turbo", few, PLACES).verdict
    assert found.verdict == "undecided"
    assert f"{LEAST - 1} are too few to decide" in found.reason
    enough = [replace(one, n=LEAST) for one in few]
    assert decide(claim(contrast("sae", "random")), "turbo", "turbo", enough, PLACES).verdict.verdict == "holds"


def test_what_was_not_measured_is_undecided_and_says_so() -> None:
    found = decide(
        claim(contrast("sae", "random")), "turbo", "turbo", [figure("sae", None), figure("random", 0.1)], PLACES
    )
    assert (found.verdict.verdict, found.verdict.ours, found.n) == ("undecided", None, 0)
    assert "not measured" in found.verdict.reason


def test_the_reason_has_the_parts_and_the_rule() -> None:
    reason = decide(
        claim(contrast("sae", "random")), "t", "t", [figure("sae", 0.6), figure("random", 0.1)], PLACES
    ).verdict.reason
    assert reason == (
        "sae less random: 0.500 (0.472 to 0.528) = 0.600 (0.580 to 0.620) less 0.100 (0.080 to 0.120) "
        "(holds: it must be above 0.05)"
    )


def test_a_mean_of_figures_has_weights_that_sum_to_its_weight() -> None:
    terms = [Term(name, "", "") for name in "abcd"]
    assert sum(weight for weight, _ in mean_of(terms)) == pytest.approx(1.0)
    assert {weight for weight, _ in mean_of(terms, -2.0)} == {-0.5}
