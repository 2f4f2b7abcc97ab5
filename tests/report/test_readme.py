"""The README's tables are what the results say, and a check finds any digit that is not."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_compare import elsewhere, run

from bench.records.store import read_file
from bench.report import readme as page
from bench.report.readme import BEGIN, END, sections
from bench.report.tables import tables

RunBench = Callable[..., subprocess.CompletedProcess[str]]
FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "smoke.jsonl").write_bytes(FIXTURE.read_bytes())
    readme = tmp_path / "README.md"
    readme.write_text(f"# Mine\n\n{BEGIN}\nOUTDATED\n{END}\n\nThe end.\n")
    return readme


def test_report_writes_between_the_markers_and_nothing_else(run_bench: RunBench, readme: Path):
    assert run_bench("report").returncode == 0
    text = readme.read_text()
    assert text.startswith(f"# Mine\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nThe end.\n")
    assert "#### Training and accuracy" in text
    assert "OUTDATED" not in text
    assert "unchanged" in run_bench("report").stdout
    assert readme.read_text() == text


def test_check_passes_and_fails_after_a_digit_is_changed(run_bench: RunBench, readme: Path):
    assert run_bench("report", "--check").returncode == 1
    run_bench("report")
    assert run_bench("report", "--check").returncode == 0
    text = readme.read_text()
    position = next(i for i in range(text.index("img/s"), len(text)) if text[i].isdigit())
    changed = text[:position] + str((int(text[position]) + 1) % 10) + text[position + 1 :]
    readme.write_text(changed)
    done = run_bench("report", "--check")
    assert done.returncode == 1
    assert done.stdout.count("\n+|") == done.stdout.count("\n-|") == 1
    assert readme.read_text() == changed, "a check changes nothing"


def test_a_table_too_long_for_a_page_is_told_where_to_find(monkeypatch: pytest.MonkeyPatch):
    records = read_file(FIXTURE)
    models = next(table for table in tables(records) if table.title == "Models")
    row = " | ".join(models.rows[0])
    assert row in sections(records)
    monkeypatch.setattr(page, "MOST_ROWS", len(models.rows) - 1)
    assert row not in sections(records)
    assert f"{len(models.rows)} rows, too many for this page: `bench show results/{records[0].run}.jsonl`" in sections(
        records
    )


def test_a_readme_without_markers_is_told_what_to_put_into_it(run_bench: RunBench, readme: Path):
    readme.write_text("# Mine\n")
    done = run_bench("report")
    assert done.returncode == 2
    assert BEGIN in done.stderr


def test_every_machine_and_every_command_behind_a_run_stands_above_its_tables():
    first = run(1.0, 1.1)
    later = [
        *elsewhere(run(1.2), command="bench run --resume"),
        *elsewhere(run(1.3), command="bench run --resume", cpu_extensions=("avx512f",)),
    ]
    assert page.heading(first).count("Machine: ") == 1
    told = page.heading([*first, *later])
    paragraphs = told.split("\n\n")[1:]
    assert [text.partition(":")[0] for text in paragraphs] == ["Machine", "Software", "Machine", "Software"]
    assert ["with avx512f; " in text for text in paragraphs] == [False, False, True, False]
    assert [text.count(" by `bench ") for text in paragraphs] == [0, 2, 0, 1]
    assert all("by `bench run --resume` at commit " in text for text in paragraphs[1::2])
