"""A table reads alike in Markdown and on a terminal of any width: nothing is torn, and what all tables share is told once."""

import io
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest
from conftest import committed_results
from rich.console import Console

from bench.records.store import latest, read_file
from bench.report.table import Table, draw, markdown
from bench.report.tables import tables

FLAGS = "unstable, warmup_not_converged, few_processes"
WIDE = Table(
    title="wide",
    columns=("Architecture", "Framework", *(f"Published figure {number}" for number in range(12)), "Flags"),
    labels=2,
    rows=tuple(
        (name, "torchvision", *(f"1,0{row}{column} (1,032–1,080)" for column in range(10, 22)), FLAGS)
        for row, name in enumerate(("MobileNetV3-Large", "ResNet-18"))
    ),
)
LISTED = Table(
    title="listed",
    columns=("Cell", "Measurement", "Flag", "Seen"),
    labels=3,
    rows=(
        (
            "mobilenet_v3_large/keras-tensorflow/amp-bf16/compiled/cpu/64x224/digits/random/modern",
            "inference",
            "unstable",
            "–",
        ),
        ("resnet18/timm/fp32/eager/cpu/64x224/digits/random/modern", "export:onnx", "few_processes", "1, not 6"),
    ),
)


def drawn(width: int, *shown: Table) -> str:
    file = io.StringIO()
    draw(Console(file=file, width=width), shown)
    return file.getvalue()


def words(shown: Sequence[Table]) -> set[str]:
    """Return every word of every heading and cell."""
    cells = [cell for table in shown for row in (table.columns, *table.rows) for cell in row if cell != "–"]
    return {word for cell in cells for word in cell.strip().split()}


def told(text: str) -> set[str]:
    """Return the words of what was drawn; those that a note ends with a mark also without it."""
    return {form for word in text.split() for form in (word, word.rstrip(".;:"))}


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("file", committed_results(), ids=lambda file: file.stem)
def test_committed_results_are_drawn_with_every_figure_flag_and_word_whole(file, width: int):
    shown = tables(latest(read_file(file)))
    text = drawn(width, *shown)
    assert max(map(len, text.splitlines())) <= width
    beside_a_name = width - len("Measurement  ")  # Where each row is told line by line; some cells' names are longer.
    assert {word for word in words(shown) if len(word) <= beside_a_name} <= told(text)


@pytest.mark.parametrize("width", [60, 80, 120, 200, 400])
def test_columns_that_do_not_fit_stand_below_with_the_same_names(width: int):
    text = drawn(width, WIDE)
    assert max(map(len, text.splitlines())) <= width
    assert words([WIDE]) <= told(text)
    counts = Counter(text.split())
    assert counts["MobileNetV3-Large"] == counts["ResNet-18"] == counts["Architecture"]
    assert (counts["Architecture"] > 1) == (width < 400)
    assert all(f"1,0{row}{column} (1,032–1,080)" in text for row in (0, 1) for column in range(10, 22)), "in one line"


@pytest.mark.parametrize(("width", "whole"), [(80, 1), (100, 2), (120, 2), (200, 2)])
def test_names_too_long_for_columns_are_told_line_by_line(width: int, whole: int):
    text = drawn(width, LISTED)
    assert max(map(len, text.splitlines())) <= width
    assert sum(row[0] in text for row in LISTED.rows) == whole, "one is longer than a terminal of 80"
    assert {"few_processes", "export:onnx"} <= told(text)


def test_what_was_not_measured_takes_no_line_of_its_own():
    assert drawn(70, LISTED).count("Seen") == 1


def test_a_terminal_tells_once_what_every_row_says():
    text = drawn(400, WIDE)
    assert "In every row — Framework: torchvision; Flags: unstable, warmup_not_converged, few_processes." in text
    assert text.count("torchvision") == 1


def test_a_table_without_rows_still_has_its_heading():
    table = Table(title="none", columns=("Name", "Figure"), labels=1, rows=())
    assert markdown(table) == "#### none\n\n| Name | Figure |\n| --- | --- |"
    assert drawn(80, table).split()[:3] == ["none", "Name", "Figure"]


def test_rows_alike_in_every_name_keep_one():
    table = Table(title="t", columns=("Name", "Figure"), labels=1, rows=(("same", "1"), ("same", "2")))
    assert drawn(80, table).count("same") == 2


def test_a_legend_is_told_once_below_all_tables_and_a_note_with_its_own():
    one = Table(title="one", columns=("a", "b"), labels=1, rows=(("x", "1"),), notes=("of one",), legend=("of b",))
    other = Table(title="other", columns=("a", "b"), labels=1, rows=(("y", "2"),), legend=("of b", "of other"))
    for text in (markdown(one, other), drawn(80, one, other)):
        assert text.count("of b") == text.count("of other") == 1
        assert text.index("of one") < text.index("other") < text.index("How to read") < text.index("of b")
    assert "How to read" not in markdown(Table(title="t", columns=("a",), labels=1, rows=(("x",),), notes=("n",)))


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (("1,056 (1,032–1,080)", "–"), True),
        (("64 × 40 px", "too few"), True),
        (("98.6 (98.3, 98.7, 98.9, 99.0)", "97"), True),
        (("too few", "too few"), True),
        (("<0.01", "1e-06"), True),
        (("1 h 20 min", "100.0%"), True),
        (("64 (auto)", "64"), True),
        (("1 of 2 processes", "1, not 6"), False),
        (("unstable", "–"), False),
        ((FLAGS, "–"), False),
        (("FASTER", "too few processes"), False),
        (("3fa2b1", "77c01d"), False),
        (("–", "–"), False),
    ],
)
def test_figures_stand_right_and_words_left_however_long_they_are(cells: tuple[str, str], right: bool):
    table = Table(title="t", columns=("Name", "What"), labels=1, rows=(("a", cells[0]), ("b", cells[1])))
    assert f"| --- | {'---:' if right else '---'} |" in markdown(table)


def test_markdown_escapes_what_would_break_a_row():
    table = Table(title="t", columns=("a", "b"), labels=1, rows=(("x|y", "1"),), notes=("n",))
    assert markdown(table) == "#### t\n\n| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n\nn"


def test_a_column_that_is_always_wanted_stands_though_every_row_says_the_same():
    text = drawn(400, msgspec.structs.replace(WIDE, always=("Flags",)))
    assert "In every row — Framework: torchvision." in text
    assert text.count(FLAGS) == len(WIDE.rows)
