"""Which image falls where depends on its name alone."""

from bench.data.parts import deal, fraction, hold_out


def test_shares_are_kept_and_an_added_name_moves_no_other():
    names = [f"{number}.jpg" for number in range(5000)]
    parts = deal(names, str)
    assert [round(len(parts[part]) / 5000, 1) for part in ("training", "validation", "test")] == [0.7, 0.1, 0.2]
    more = deal([f"new{number}" for number in range(100)] + names, str)
    assert all(set(parts[part]) <= set(more[part]) for part in parts)
    kept, held = hold_out(names, str, 0.04)
    assert abs(len(held) / 5000 - 0.04) < 0.01
    assert sorted(kept + held) == sorted(names)


def test_the_rule_itself_never_changes():
    """A data set's splits, and so every committed figure, hang on it."""
    assert round(fraction("cat/0.png"), 6) == round(int("1a07b51d89614a9d", 16) / 2**64, 6)
