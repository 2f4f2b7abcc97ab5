"""An automatic batch size is the largest that fits, to within an eighth."""

import pytest

from bench.run.batch_size import LARGEST, largest_that_fits


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 8, 9, 100, 1000, 1023, 5000, LARGEST, LARGEST * 2])
def test_it_is_at_most_an_eighth_below_the_limit(limit: int):
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    found = largest_that_fits(fits)
    assert found is not None
    assert found in tried, "a size that was never tried is not known to fit"
    assert found <= limit
    assert min(limit, LARGEST) - found <= max(1, found // 8)


def test_where_not_even_one_image_fits_there_is_none():
    assert largest_that_fits(lambda size: False) is None
