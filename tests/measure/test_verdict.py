"""Verdicts on rows whose answer is plain; how often they err is measured in tests/performance/test_verdicts.py."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.measure.verdict import Effect, Judgement, moderate, paired, unpaired, verdicts


def turned(a: np.ndarray, b: np.ndarray) -> Effect:
    return paired(np.log(b) - np.log(a))


def pairs(ratio: float, spread: float, count: int = 10) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    drift = np.linspace(0, 0.5, count)
    a = np.exp(drift + random.normal(0, spread, count))
    return a, np.exp(drift + random.normal(0, spread, count)) * ratio


@pytest.mark.parametrize(
    ("ratio", "spread", "expected"),
    [
        (1.05, 0.005, Judgement.FASTER),
        (0.95, 0.005, Judgement.SLOWER),
        (1.0, 0.002, Judgement.SAME),
        (1.0, 0.03, Judgement.INCONCLUSIVE),
        (1.03, 0.05, Judgement.INCONCLUSIVE),
        (1.012, 0.004, Judgement.INCONCLUSIVE),
    ],
)
def test_what_is_said_follows_from_interval_and_margin(ratio: float, spread: float, expected: Judgement):
    (found,) = verdicts([turned(*pairs(ratio, spread))], margin=0.01)
    assert found.judgement is expected
    assert found.low < found.ratio < found.high


def test_a_paired_effect_is_scipys_paired_test():
    a, b = pairs(1.02, 0.01)
    (found,) = verdicts([turned(a, b)], margin=0.01)
    test = stats.ttest_rel(np.log(b), np.log(a))
    low, high = test.confidence_interval()
    assert found.adjusted_p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


@pytest.mark.parametrize(("spread_of_few", "equal_variances"), [(0.001, True), (0.03, False)])
def test_an_unpaired_effect_is_scipys_welch_or_students_test_whose_interval_is_wider(
    spread_of_few: float, equal_variances: bool
):
    """Six processes that happen to agree are not taken at their word; six that scatter more than the rest are."""
    random = np.random.default_rng(0)
    a, b = np.exp(random.normal(0, 0.01, 12)), np.exp(random.normal(0.02, spread_of_few, 6))
    (found,) = verdicts([unpaired(a, b)], margin=0.01)
    test = stats.ttest_ind(np.log(b), np.log(a), equal_var=equal_variances)
    low, high = test.confidence_interval()
    other = stats.ttest_ind(np.log(b), np.log(a), equal_var=not equal_variances).confidence_interval()
    assert high - low > other.high - other.low
    assert found.adjusted_p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_a_difference_that_chance_gives_among_many_rows_is_no_verdict():
    """By itself the row is FASTER; as the best of 200 it is what one expects."""
    lucky = Effect(log_ratio=0.05, standard_error=0.0125, degrees=9)
    others = [Effect(log_ratio=0.0, standard_error=0.0125 * (1 + i % 7), degrees=9) for i in range(199)]
    assert verdicts([lucky], margin=0.01)[0].judgement is Judgement.FASTER
    assert verdicts([lucky, *others], margin=0.01)[0].judgement is Judgement.INCONCLUSIVE


def test_variances_that_are_alike_are_pooled_and_those_of_few_rows_are_not():
    random = np.random.default_rng(0)
    degrees = np.full(500, 9.0)
    alike = 1e-4 * random.chisquare(9, 500) / 9
    pooled, more = moderate(alike, degrees)
    assert pooled == pytest.approx(np.full(500, 1e-4), rel=0.1)
    assert (more > 50).all()
    unlike, few = moderate(alike * np.exp(random.normal(0, 3, 500)), degrees)
    assert (few < 12).all()
    assert np.corrcoef(np.log(unlike), np.log(alike))[0, 1] < 1
    kept, same = moderate(alike[:2], degrees[:2])
    assert (kept == alike[:2]).all()
    assert (same == 9).all()


def test_a_matrix_of_rows_alike_is_judged_with_no_end_of_degrees():
    """Degrees that are whole numbers once turned the infinite ones into garbage, and every p with them."""
    random = np.random.default_rng(0)
    logs = random.normal(0, 0.01, (200, 10, 2))
    logs[0, :, 1] += 0.03
    found = verdicts([paired(row[:, 1] - row[:, 0]) for row in logs], margin=0.01)
    assert found[0].judgement is Judgement.FASTER
    assert {one.judgement for one in found[1:]} <= {Judgement.SAME, Judgement.INCONCLUSIVE}
