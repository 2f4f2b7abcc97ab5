"""`batch = "auto"`: the largest batch that fits, found by doubling and then halving the gap."""

from collections.abc import Callable

FIRST, LARGEST = 8, 8192


def largest_that_fits(fits: Callable[[int], bool]) -> int | None:
    """Return the largest size that fits, to within an eighth of it and at most 8,192; None where not even 1 does."""
    good, bad = 0, LARGEST + 1
    size = FIRST
    while size <= LARGEST and fits(size):
        good, size = size, size * 2
    if size <= LARGEST:
        bad = size
    while good == 0 and bad > 1:
        bad //= 2
        if fits(bad):
            good, bad = bad, bad * 2
    while bad <= LARGEST and bad - good > max(1, good // 8):
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good or None
