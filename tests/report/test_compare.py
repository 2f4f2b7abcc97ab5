"""Two sets of results: what is matched, what is refused, what is said, and with which exit status."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench.errors import UsageError
from bench.measure.telemetry import Telemetry
from bench.measure.timing import Blocks
from bench.records.record import Build, Export, LoaderBlock, LoaderTiming, Record, Training
from bench.records.store import read_file
from bench.report.compare import Comparison, compare, not_cleared, part, sides
from bench.report.comparison import table
from bench.report.lint import lint
from bench.report.tables import tables

RunBench = Callable[..., subprocess.CompletedProcess[str]]
FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"


def run(*seconds: float, **changes: object) -> list[Record]:
    """Return one training a process, whose blocks took so long; `changes` go into the cell."""
    first = next(r for r in read_file(FIXTURE) if isinstance(r.figures, Training))
    assert isinstance(first.figures, Training)
    records = []
    for process, took in enumerate(seconds):
        blocks = Blocks(warmup_step_seconds=(took,), steps_per_block=1, block_seconds=(took, took))
        block = LoaderBlock(begun_seconds=None, steps=1, step_seconds=(took,), wait_seconds=(0.0,))
        loader = LoaderTiming(first_step_seconds=None, first_wait_seconds=None, blocks=(block, block))
        figures = msgspec.structs.replace(first.figures, resident=blocks, loader=loader)
        cell = msgspec.structs.replace(first.cell, **changes)
        records.append(msgspec.structs.replace(first, cell=cell, process=process, figures=figures))
    return records


def column(found: Comparison, name: str) -> list[str]:
    shown = table(found)
    return [row[shown.columns.index(name)] for row in shown.rows]


def changed(records: list[Record], **changes: object) -> list[Record]:
    return [msgspec.structs.replace(record, **changes) for record in records]


def elsewhere(records: list[Record], **changes: object) -> list[Record]:
    """Return the records with another environment."""
    return [msgspec.structs.replace(r, environment=msgspec.structs.replace(r.environment, **changes)) for r in records]


QUICK, SLOW = (1.0, 1.01, 0.99, 1.005), (1.2, 1.21, 1.19, 1.205)


@pytest.mark.parametrize(
    ("a", "b", "expected"), [(SLOW, QUICK, "FASTER"), (QUICK, SLOW, "SLOWER"), (QUICK, QUICK, "SAME")]
)
def test_more_images_a_second_are_faster(a: tuple[float, ...], b: tuple[float, ...], expected: str):
    found = compare(part("a", run(*a)), part("b", run(*b)), margin=0.05)
    pair = next(pair for pair in found.pairs if pair.quantity == "training")
    assert pair.verdict is not None
    assert pair.verdict.judgement == expected
    assert tuple(not_cleared(found)) == (("2 rows of B SLOWER",) if expected == "SLOWER" else ())


def test_a_row_of_one_process_has_no_verdict_and_does_not_pass_for_one_that_is_not_slower():
    found = compare(part("a", run(*QUICK)), part("b", run(1.0)), margin=0.05)
    assert {pair.verdict for pair in found.pairs} == {None}
    assert column(found, "Verdict") == ["too few processes"] * 2
    assert column(found, "Processes") == ["4 and 1"] * 2
    (reason,) = not_cleared(found)
    assert reason.startswith("2 rows without a verdict, for too few processes")


def test_an_export_is_judged_over_its_processes_as_anything_else():
    def exports(factor: float) -> list[Record]:
        record = next(record for record in read_file(FIXTURE) if isinstance(record.figures, Export))
        assert isinstance(record.figures, Export)
        (timing,) = record.figures.timings
        return [
            msgspec.structs.replace(
                record,
                process=process,
                figures=msgspec.structs.replace(
                    record.figures,
                    timings=(
                        msgspec.structs.replace(
                            timing, latency_seconds=tuple(s * speed / factor for s in timing.latency_seconds)
                        ),
                    ),
                ),
            )
            for process, speed in enumerate(QUICK)
        ]

    found = compare(part("a", exports(1.0)), part("b", exports(0.5)), margin=0.05)
    assert [pair.verdict.judgement for pair in found.pairs if pair.verdict] == ["SLOWER"]
    alone = compare(part("a", exports(1.0)), part("b", exports(1.0)[:1]), margin=0.05)
    (reason,) = not_cleared(alone)
    assert reason == "1 row without a verdict, for too few processes"


def test_labels_set_two_parts_of_one_file_against_each_other():
    records = [*run(*QUICK, framework="timm"), *run(*SLOW, framework="torchvision")]
    found = compare(part("f:framework=timm", records), part("f:framework=torchvision", records), margin=0.05)
    assert not found.a_alone
    assert not found.b_alone
    assert [pair.quantity for pair in found.pairs] == ["training", "training from the loader"]
    assert "framework" not in found.pairs[0].cell
    with pytest.raises(UsageError, match="did you mean 'framework'"):
        part("f:framwork=timm", records)
    with pytest.raises(UsageError, match="no results"):
        part("f:framework=keras-jax", records)


def test_parts_without_a_row_in_common_are_told_what_to_add(tmp_path: Path, run_bench: RunBench):
    records = [
        *run(*QUICK, framework="timm", execution="eager"),
        *run(*SLOW, framework="keras-jax", execution="compiled"),
    ]
    file = written(tmp_path / "f.jsonl", records)
    asked = run_bench("compare", f"{file}:framework=timm", f"{file}:framework=keras-jax")
    assert asked.returncode == 2
    assert (
        "no timed row in common; to compare them all the same add execution=eager to A and execution=compiled to B"
        in asked.stderr
    )
    added = run_bench(
        "compare", f"{file}:framework=timm,execution=eager", f"{file}:framework=keras-jax,execution=compiled"
    )
    assert added.returncode == 0
    assert "2 verdicts of fewer than 6 processes" in added.stdout


def test_labels_that_leave_several_cells_for_one_row_are_refused():
    """Of timm in two precisions, which one counted once hung on the order of the file."""
    records = [
        *run(*QUICK, framework="timm", precision="fp32"),
        *run(*SLOW, framework="timm", precision="bf16"),
        *run(*QUICK, framework="torchvision", precision="bf16"),
    ]
    a, b = part("f:framework=timm", records), part("f:precision=bf16", records)
    with pytest.raises(UsageError, match="several training figures of one process"):
        compare(a, b)
    a, b = part("f:framework=timm,precision=bf16", records), part("f:framework=torchvision,precision=bf16", records)
    assert {pair.verdict.judgement for pair in compare(a, b).pairs if pair.verdict} == {"FASTER"}


def test_what_one_side_alone_has_is_counted():
    found = compare(part("a", [*run(*QUICK), *run(*QUICK, image_size=96)]), part("b", run(*QUICK)), margin=0.05)
    assert len(found.a_alone) + len(found.b_alone) == 2
    assert len(found.pairs) == 2
    assert "2 rows of A without figures of B" in tuple(not_cleared(found))


def test_a_run_that_has_compared_nothing_timed_is_shown_and_linted_all_the_same(tmp_path: Path, run_bench: RunBench):
    built = next(record for record in read_file(FIXTURE) if isinstance(record.figures, Build))
    records = [msgspec.structs.replace(built, side=side) for side in ("a", "b")]
    assert compare(*sides("run.jsonl", records)).pairs == ()
    assert [shown.title for shown in tables(records)] == ["Models"]
    assert "control" not in {finding.lint for finding in lint(records)}
    asked = run_bench("compare", written(tmp_path / "built.jsonl", records))
    assert asked.returncode == 2
    assert "no timed row in common" in asked.stderr


def turns(ratio_b: float = 1.0, ratio_control: float = 1.0, mhz: tuple[float, float] | None = None) -> list[Record]:
    """Return ten processes a side; B's speed over A's, the control's, and the clocks of A and B on a GPU."""
    records = []
    for process in range(10):
        phase = 1 + 0.3 * math.sin(process)  # What the machine does to all alike.
        for side, ratio in (("a", 1.0), ("b", ratio_b), ("a-again", ratio_control)):
            took = phase / ratio * (1 + 0.001 * ((7 * process + ord(side[-1])) % 5))
            (record,) = run(took, took, took)[:1]
            if mhz is not None:
                record = clocked(record, mhz[side == "b"])
            records.append(msgspec.structs.replace(record, side=side, process=process))
    return records


def clocked(record: Record, mhz: float) -> Record:
    assert isinstance(record.figures, Training)
    blocks = msgspec.structs.replace(record.figures.resident, begun_seconds=(10.0, 20.0))
    series = {"gpu_sm_mhz": (mhz,) * 40}
    telemetry = Telemetry(
        begun_seconds=10.0,
        idle_seconds=0.0,
        elapsed_seconds=tuple(number / 2 for number in range(40)),
        series=series,
        missing={},
        cost_seconds=0.0,
    )
    figures = msgspec.structs.replace(record.figures, resident=blocks)
    return msgspec.structs.replace(record, figures=figures, telemetry=telemetry)


def judged(records: list[Record]) -> str | None:
    found = compare(*sides("run.jsonl", records))
    assert found.in_turns
    verdict = next(pair.verdict for pair in found.pairs if pair.quantity == "training")
    return verdict.judgement if verdict else None


def test_what_the_machine_does_to_both_sides_drops_out():
    assert judged(turns()) == "SAME"
    assert judged(turns(ratio_b=1.03)) == "FASTER"
    assert judged(turns(ratio_b=0.97)) == "SLOWER"
    a, b = (changed(list(one.records), side=None) for one in sides("run.jsonl", turns(ratio_b=1.03)))
    apart = compare(part("a", a), part("b", b), margin=0.01)
    assert {pair.verdict.judgement for pair in apart.pairs if pair.verdict} == {"INCONCLUSIVE"}, (
        "30 % of noise hides 3 %"
    )


def test_no_verdict_stands_where_the_control_differs_and_lint_says_so():
    records = turns(ratio_b=1.5, ratio_control=1.1)
    assert judged(records) is None
    found = compare(*sides("run.jsonl", records))
    assert set(column(found, "Verdict")) == {"none: the control differs"}
    assert any("no verdict of this run stands" in note for note in table(found).notes)
    assert "control" in {finding.lint for finding in lint(records)}
    assert "control" not in {finding.lint for finding in lint(turns(ratio_b=1.5))}


def test_the_control_cannot_be_passed_by_with_labels():
    for ratio_control, stands in ((1.1, False), (1.0, True)):
        records = turns(ratio_b=1.5, ratio_control=ratio_control)
        found = compare(part("f:side=a", records), part("f:side=b", records))
        assert found.in_turns
        assert found.stands is stands
        assert all((pair.verdict is not None) is stands for pair in found.pairs)
    labels = ("f:side=a,framework=timm", "f:side=b,framework=timm")
    assert compare(*(part(label, changed_cells(turns(), framework="timm")) for label in labels)).in_turns


def changed_cells(records: list[Record], **changes: object) -> list[Record]:
    return [msgspec.structs.replace(r, cell=msgspec.structs.replace(r.cell, **changes)) for r in records]


def test_a_run_of_two_sides_is_no_side_of_another_comparison_until_one_is_named():
    with pytest.raises(UsageError, match=r"write run\.jsonl:side=b"):
        part("run.jsonl", turns())
    b = part("run.jsonl:side=b", turns())
    assert {record.side for record in b.records} == {"b"}
    assert not compare(b, part("other.jsonl", run(*QUICK))).in_turns


def test_a_run_held_against_stored_results_has_its_control():
    """What the run measured has no side, and its control is the same measured again."""
    for factor, stands in ((1.0, True), (1.3, False)):
        again = changed(run(*(factor * seconds for seconds in QUICK)), side="a-again", run="new")
        new = part("new.jsonl", [*changed(run(*QUICK), run="new"), *again])
        found = compare(part("old.jsonl", run(*SLOW)), new)
        assert len(found.pairs[0].b) == len(QUICK), "the control is no process of the run's own"
        assert found.stands is stands
        assert len(found.control) == 2
        assert not found.in_turns
        assert ("control" in {finding.lint for finding in lint(new.records + tuple(again))}) is not stands
    plain = table(compare(part("a", run(*QUICK)), part("b", run(*SLOW))))
    assert any(note.startswith("No control") for note in plain.notes)


def test_a_control_that_nobody_could_judge_is_none():
    """As where it has failed in all processes but one."""
    records = [record for record in turns() if record.side != "a-again" or record.process == 0]
    found = compare(*sides("run.jsonl", records))
    assert found.stands
    assert len(found.control) == 2
    notes = table(found).notes
    assert any(note.startswith("No control: what was measured twice has too few processes") for note in notes)
    assert [reason.partition(",")[0] for reason in not_cleared(found)] == ["no control was judged"]
    assert not any(note.startswith("No control") for note in table(compare(*sides("run.jsonl", turns()))).notes)


def test_what_the_control_gives_is_the_least_that_counts():
    """The control's 5 % are not beyond chance, for its processes scatter; but then 4 % for B count for nothing."""
    records = turns(ratio_b=1.04)
    scattered = []
    for record in records:
        if record.side == "a-again":
            assert isinstance(record.figures, Training)
            scale = 0.9 if record.process % 2 else 1.0
            took = tuple(scale * seconds for seconds in record.figures.resident.block_seconds)
            blocks = msgspec.structs.replace(record.figures.resident, block_seconds=took)
            record = msgspec.structs.replace(record, figures=msgspec.structs.replace(record.figures, resident=blocks))
        scattered.append(record)
    found = compare(*sides("run.jsonl", scattered))
    assert found.margin == pytest.approx(0.054, abs=0.005)
    assert judged(records) == "FASTER"
    assert judged(scattered) == "SAME"
    assert compare(*sides("run.jsonl", scattered), margin=0.01).margin == found.margin, (
        "asking for less is no way around it"
    )


def test_a_clock_that_moved_is_no_speed_up():
    assert judged(turns(ratio_b=1.05, mhz=(1900.0, 1900.0))) == "FASTER"
    moved = turns(ratio_b=1.05, mhz=(1900.0, 1995.0))
    assert judged(moved) == "INCONCLUSIVE"
    one_unknown = [msgspec.structs.replace(moved[0], telemetry=None), *moved[1:]]
    assert judged(one_unknown) == "INCONCLUSIVE", "one process without a clock is no way round the check"


def test_a_quantity_without_a_clock_of_its_own_is_not_checked_by_anothers():
    """The loader's blocks have no beginning here; the clock of those on the device is none of theirs."""
    moved = changed_cells(turns(ratio_b=1.05, mhz=(1900.0, 1995.0)), device="cuda")
    checked = {pair.quantity: pair.in_cycles for pair in compare(*sides("run.jsonl", moved)).pairs}
    assert checked == {"training": True, "training from the loader": False}


def test_a_side_that_has_failed_costs_the_comparison_and_nothing_else():
    """As when the code at an old commit does not run: B's tables stand, and what failed is told."""
    failed = [
        msgspec.structs.replace(record, status="failed", reason="it does not run", figures=None)
        if record.side != "b"
        else record
        for record in turns()
    ]
    titles = [shown.title for shown in tables(failed)]
    assert any(title.startswith("Training") for title in titles)
    assert "Not measured" in titles
    assert not any(title.startswith("B = ") for title in titles)
    assert "control" not in {finding.lint for finding in lint(failed)}
    assert any(shown.title.startswith("B = ") for shown in tables(turns()))
    only_a = [record for record in failed if record.side == "a"]
    assert [shown.title for shown in tables(only_a)] == ["Not measured"]


def test_a_run_of_one_side_holds_no_comparison():
    with pytest.raises(UsageError, match="one side only"):
        sides("run.jsonl", run(*QUICK))


def written(file: Path, records: list[Record]) -> str:
    file.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return str(file)


def test_the_command_refuses_unlike_runs_and_fails_on_slower(tmp_path: Path, run_bench: RunBench):
    a = written(tmp_path / "a.jsonl", run(*QUICK))
    b = written(tmp_path / "b.jsonl", run(*SLOW))
    assert run_bench("compare", a, b).returncode == 0
    failed = run_bench("compare", a, b, "--json", "--fail-on", "slower")
    assert failed.returncode == 1
    assert {pair["verdict"]["judgement"] for pair in json.loads(failed.stdout)["pairs"]} >= {"SLOWER"}
    c = written(tmp_path / "c.jsonl", elsewhere(run(*SLOW), python="3.0.0"))
    refused = run_bench("compare", a, c)
    assert refused.returncode == 2
    assert "3.0.0 in B" in refused.stderr
    allowed = run_bench("compare", a, c, "--allow-different")
    assert allowed.returncode == 0
    assert "Unlike: python" in allowed.stdout
    assert run_bench("compare", a, b, "--fail-on", "faster").returncode == 2
    one = written(tmp_path / "one.jsonl", run(1.0))
    assert run_bench("compare", a, one).returncode == 0
    unjudged = run_bench("compare", a, one, "--fail-on", "slower")
    assert unjudged.returncode == 1
    assert unjudged.stderr == "bench: 2 rows without a verdict, for too few processes\n"


def test_a_run_whose_control_differs_does_not_pass_for_one_that_is_not_slower(tmp_path: Path, run_bench: RunBench):
    void = written(tmp_path / "void.jsonl", turns(ratio_b=1.0, ratio_control=1.1))
    for arguments in ((void,), (f"{void}:side=a", f"{void}:side=b")):
        assert run_bench("compare", *arguments).returncode == 0
        failed = run_bench("compare", *arguments, "--json", "--fail-on", "slower")
        assert failed.returncode == 1
        assert "no verdict of this run stands" in failed.stderr
        assert json.loads(failed.stdout)["stands"] is False
    right = written(tmp_path / "right.jsonl", turns(ratio_b=1.0))
    assert run_bench("compare", right, "--fail-on", "slower").returncode == 0


def test_one_part_named_twice_is_a_mistake():
    with pytest.raises(UsageError, match="a is named twice"):
        compare(part("a", run(*QUICK)), part("a", run(*QUICK)))
