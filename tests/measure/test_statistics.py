"""Statistics hold what they promise, on data whose truth is known."""

import math
import random
from fractions import Fraction

import pytest
from scipy import stats

from bench.measure.statistics import ASKED, median_interval, percentile, proportion_interval, samples_needed


@pytest.mark.parametrize(("share", "needed"), [(0.90, 64), (0.95, 130), (0.99, 662), (0.999, 6636)])
def test_sample_counts_are_those_of_mlperf_loadgen(share: float, needed: int):
    assert samples_needed(share) == needed


def test_a_percentile_without_support_is_none():
    values = [float(n) for n in range(1, 662)]
    assert percentile(values, 0.99) is None
    assert percentile([*values, 662.0], 0.99) == 656.0
    assert percentile([3.0], 0.5) == 3.0


@pytest.mark.parametrize("text", ["0.07", "0.55", "0.9", "0.95", "0.99", "0.999"])
def test_a_percentile_is_the_sample_at_its_rank_whatever_floating_point_makes_of_it(text: str):
    needed = samples_needed(float(text))
    for count in [*range(needed, needed + 400), 10_000]:
        assert percentile(range(1, count + 1), float(text)) == math.ceil(Fraction(text) * count)


@pytest.mark.parametrize("share", [0.9, 0.95, 0.99])
def test_sample_counts_are_scipys(share: float):
    needed = samples_needed(share)
    assert stats.binom.cdf(1, needed, 1 - share) <= 0.01 < stats.binom.cdf(1, needed - 1, 1 - share)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_whole_range_covers_what_scipys_binomial_says(count: int):
    assert median_interval(range(count)).coverage == pytest.approx(1 - 2 * stats.binom.cdf(0, count, 0.5))


@pytest.mark.parametrize("count", [6, 9, 20])
def test_the_interval_lies_between_scipys_of_the_order_statistics_beside_it(count: int):
    """The distribution-free interval of scipy's is the one that covers what is asked or more; the next within less."""
    found = median_interval(range(1, count + 1))
    outer = int(
        stats.binom.ppf((1 - ASKED) / 2, count, 0.5)
    )  # The rank whose tail is the first above half of the rest.
    assert outer <= found.low <= outer + 1
    assert found.low + found.high == pytest.approx(count + 1)
    assert 1 - 2 * stats.binom.cdf(outer - 1, count, 0.5) >= ASKED


@pytest.mark.parametrize(("right", "count"), [(9000, 10_000), (537, 540), (0, 20), (20, 20)])
def test_wilsons_interval_is_scipys(right: int, count: int):
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert proportion_interval(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_fewer_than_six_samples_cannot_reach_95_percent():
    assert median_interval([1, 2, 3, 4, 5]).coverage < 0.95
    assert median_interval([1, 2, 3, 4, 5, 6]).coverage >= 0.95


@pytest.mark.parametrize("count", [6, 10, 25])
def test_the_interval_of_the_median_covers_the_true_one(count: int):
    source = random.Random(0)
    runs = 4000
    held = 0
    for _ in range(runs):
        interval = median_interval([source.lognormvariate(0, 1) for _ in range(count)])
        held += interval.low <= 1.0 <= interval.high
    assert held / runs >= 0.943, "95 % less three standard errors of 4,000 runs"
    assert held / runs == pytest.approx(median_interval(range(count)).coverage, abs=0.012)


def test_wilsons_interval_matches_the_published_case():
    # 10,000 images at 90 %: ± 0.59 points.
    low, high = proportion_interval(0.9, 10_000)
    assert (high - low) / 2 == pytest.approx(0.0059, abs=5e-5)


def test_an_interval_near_all_right_stays_below_one():
    low, high = proportion_interval(537 / 540, 540)
    assert (low, high) == (pytest.approx(0.9838, abs=2e-4), pytest.approx(0.9981, abs=2e-4))
