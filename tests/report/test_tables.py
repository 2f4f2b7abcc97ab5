"""Tables say what the records say: no more digits, no mixing, nothing where nothing was measured."""

from pathlib import Path

import msgspec
import pytest
from test_lint import powered

from bench.records.record import ArtifactTiming, Export, Inference, Memory, Record, Training
from bench.records.store import read_file
from bench.report.format import counted, milliseconds, number, rate, top1
from bench.report.table import Table
from bench.report.tables import tables

FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"


@pytest.fixture
def records() -> list[Record]:
    return read_file(FIXTURE)


def find(found: tuple[Table, ...], title: str) -> Table:
    return next(table for table in found if table.title.startswith(title))


def test_every_measurement_has_its_table(records: list[Record]):
    titles = [table.title.partition(":")[0] for table in tables(records)]
    assert titles == [
        "PyTorch",
        "Models",
        "Not the same network everywhere",
        "Training and accuracy",
        "Inference",
        "Every model in every format, p50 in ms",
        "Exports",
        "Which format",
        "Not measured",
    ]


def test_one_architecture_stands_in_every_framework_side_by_side_with_what_differs(records: list[Record]):
    keras = [
        msgspec.structs.replace(r, cell=msgspec.structs.replace(r.cell, framework="keras-jax"))
        for r in records
        if r.cell.framework == "timm"
    ]
    found = tables([*records, *keras])
    assert [table.title.partition(":")[0] for table in found[:3]] == [
        "Keras",
        "PyTorch",
        "MobileNetV3-Small in 3 frameworks",
    ]
    assert [row[1] for row in found[2].rows] == ["keras-jax", "timm", "torchvision"]
    differences = {row[:2]: row[2] for row in find(found, "Not the same network").rows}
    assert differences["MobileNetV3-Small", "keras"].startswith("batch normalisation gives the newest batch 0.001")
    assert not any(table.title.startswith("Not the same") for table in tables(keras)), (
        "one library's rows are comparable"
    )


def test_an_overview_takes_fp32_and_the_largest_images(records: list[Record]):
    larger = [
        msgspec.structs.replace(r, cell=msgspec.structs.replace(r.cell, image_size=224))
        for r in records
        if isinstance(r.figures, Inference)
    ]
    overview = find(tables([*records, *larger]), "PyTorch")
    assert {row[overview.columns.index("Inference timed at")] for row in overview.rows} == {"32 × 224 px"}
    assert {row[overview.columns.index("Training timed at")] for row in overview.rows} == {"32 × 64 px"}


def test_tables_do_not_depend_on_the_order_of_the_records(records: list[Record]):
    assert tables(records) == tables(records[::-1])


def test_a_throughput_is_all_images_over_all_time(records: list[Record]):
    training = [r for r in records if isinstance(r.figures, Training) and r.cell.framework == "timm"]
    (figures,) = {r.figures for r in training if r.cell.precision == "fp32"}
    assert isinstance(figures, Training)
    blocks = figures.resident
    expected = 32 * blocks.steps_per_block * len(blocks.block_seconds) / sum(blocks.block_seconds)
    table = find(tables(records), "Training")
    row = next(row for row in table.rows if row[1:3] == ("timm", "fp32"))
    assert row[table.columns.index("Training img/s")] == f"{expected:,.0f}"


def test_what_differs_in_more_than_its_axes_is_in_another_table(records: list[Record]):
    other = [
        msgspec.structs.replace(r, cell=msgspec.structs.replace(r.cell, dataset="folder:pictures"))
        for r in records
        if isinstance(r.figures, Inference)
    ]
    found = [table for table in tables(records + other) if table.title.startswith("Inference")]
    assert len(found) == 2
    assert all(len(table.rows) == len(other) for table in found)


def test_what_failed_is_told_and_has_no_figures(records: list[Record]):
    broken = [
        msgspec.structs.replace(r, status="timeout", reason="killed after 9 s", figures=None)
        if r.measurement == "inference"
        else r
        for r in records
    ]
    found = tables(broken)
    assert not any(table.title.startswith("Inference") for table in found)
    assert any("killed after 9 s" in row for row in find(found, "Not measured").rows)


def test_a_column_without_a_figure_is_left_out_with_its_note(records: list[Record]):
    everything = find(tables(records), "Inference")
    assert "Peak memory, MiB" in everything.columns
    assert "Compile, s" not in everything.columns, "nothing was compiled"
    rest = find(tables([r for r in records if r.measurement != "memory"]), "Inference")
    assert set(everything.columns) - set(rest.columns) == {"Peak memory, MiB", "Whole process, MiB"}
    assert len(everything.legend) == len(rest.legend) + 1
    assert all(len(row) == len(rest.columns) for row in rest.rows)


def test_a_gpus_peak_is_the_allocators_and_never_the_resident_one(records: list[Record]):
    """An allocator that tells nothing leaves a dash: what is resident on the host is something else."""
    replace = msgspec.structs.replace
    measured = next(r for r in records if isinstance(r.figures, Memory))
    assert isinstance(measured.figures, Memory)
    timed = next(r for r in records if isinstance(r.figures, Inference) and r.cell == measured.cell)
    for device, allocated, shown in (("cuda", None, None), ("cuda", 3 << 20, "3"), ("cpu", 3 << 20, "7")):
        peak = replace(measured.figures.inference, allocated_bytes=allocated, resident_bytes=7 << 20)
        own = replace(measured, figures=replace(measured.figures, inference=peak))
        cell = replace(measured.cell, device=device)
        table = find(tables([replace(r, cell=cell) for r in (own, timed)]), "Inference")
        found = dict(zip(table.columns, table.rows[0], strict=True)).get("Peak memory, MiB")
        assert found == shown


def test_how_joules_were_read_stands_beside_them():
    table = find(tables([powered(600.0)]), "Training")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["by"] == "counter"
    assert row["J an image"] != "–"


def exported(name: str, p50s: dict[int, float], mebibytes: float, top1: float, **cell: int) -> Record:
    """Return an export of a model whose top-1 is 90 %, with a p50 in milliseconds by the number of threads."""
    record = next(r for r in read_file(FIXTURE) if isinstance(r.figures, Export))
    assert isinstance(record.figures, Export)
    timings = tuple(
        ArtifactTiming(
            threads=threads,
            batch_size=size,
            load_seconds=1.0,
            first_inference_seconds=1.0,
            latency_seconds=(p50 * size / 1000,),
        )
        for threads, p50 in p50s.items()
        for size in (1, 16)
    )
    sizes = {"artifact_bytes": int(mebibytes * 2**20), "source_top1": 0.9, "test_top1": top1, "compared_images": 540}
    return msgspec.structs.replace(
        record,
        measurement=f"export:{name}",
        cell=msgspec.structs.replace(record.cell, **cell),
        batch_size=cell.get("batch_size", record.batch_size),
        figures=msgspec.structs.replace(record.figures, timings=timings, **sizes),
    )


def test_every_format_as_good_as_the_best_is_named_with_its_own_figure():
    """A p50 of one process is no nearer to the truth than some percent; and top-1 that an artifact gains is noise."""
    onnx, static = exported("onnx", {1: 0.40, 2: 0.2601}, 6.0, 0.9), exported("onnx-static", {2: 0.2599}, 6.1, 0.9)
    single, slow = exported("openvino", {1: 0.265, 2: 0.5}, 9.0, 0.9), exported("savedmodel", {2: 0.45}, 9.0, 0.9)
    small = exported("onnx-int8", {2: 0.47}, 1.6, 0.902)
    worse = exported("litert-int8", {2: 0.48}, 1.7, 0.898)
    table = find(tables([onnx, static, single, slow, small, worse]), "Which format")
    (row,) = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (
        row["Lowest p50, ms"]
        == "onnx-static, onnx: 0.260 with 2 threads; openvino: 0.265 with 1 thread; savedmodel: 0.450 with 2 threads"
    )
    assert row["Fewest bytes, MiB"] == "onnx-int8: 1.6"
    assert (
        row["Least top-1 lost, points"] == "onnx, onnx-int8, onnx-static, openvino, savedmodel: 0.0; litert-int8: 0.2"
    )
    table = find(tables([small, worse, exported("litert", {2: 0.3}, 6.0, 0.885)][1:]), "Which format")
    assert table.rows[0][-1] == "litert-int8: 0.2"


def test_an_export_of_several_processes_is_the_one_in_the_middle():
    processes = [
        msgspec.structs.replace(exported("onnx", {1: 0.5, 2: p50}, 6.0, 0.9), process=process)
        for process, p50 in enumerate((0.2, 0.9, 0.3))
    ]
    table = find(tables(processes), "Exports")
    (row,) = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert row["p50, ms"] == "0.30 (0.20–0.90)"
    assert row["p50, 1 thread"] == "0.50 (0.50–0.50)"
    (best,) = find(tables([*processes, exported("openvino", {2: 0.8}, 6.0, 0.9)]), "Which format").rows
    assert best[-3] == "onnx: 0.300 with 2 threads"


def test_where_no_artifact_was_tested_none_kept_more(records: list[Record]):
    assert find(tables(records), "Which format").columns[-1] == "Fewest bytes, MiB"


def test_exports_of_two_batches_and_two_sizes_of_image_are_told_apart():
    records = [
        exported(name, {2: 0.3}, 6.0, 0.9, batch_size=batch_size, image_size=image_size)
        for name in ("onnx", "openvino")
        for batch_size, image_size in ((16, 40), (64, 40), (64, 64))
    ]
    for title, rows in (("Exports", 6), ("Which format", 3)):
        table = find(tables(records), title)
        named = [dict(zip(table.columns[: table.labels], row, strict=False)) for row in table.rows]
        assert sorted((row["Batch"], row["Image px"]) for row in named) == sorted(
            [("16", "40"), ("64", "40"), ("64", "64")] * (rows // 3)
        )


def test_models_stand_below_each_other_with_a_column_a_format_and_the_status_of_what_has_no_figure():
    small = [exported(name, {1: 0.5, 2: 0.3}, 6.0, 0.9) for name in ("onnx", "openvino")]
    large = [exported("onnx", {2: 0.7}, 6.0, 0.9, image_size=96)]
    failed = msgspec.structs.replace(
        large[0], measurement="export:openvino", status="failed", reason="why", figures=None
    )
    table = find(tables([*small, *large, failed]), "Every model in every format")
    assert table.columns[table.labels :] == ("onnx", "openvino")
    assert [row[table.labels :] for row in table.rows] == [("0.300", "0.300"), ("0.700", "failed")]
    assert not any(table.title.startswith("Every model") for table in tables(small)), "one model has a table already"


def test_an_export_that_was_not_timed_passes_and_has_no_latency():
    def untimed(name: str, **cell: int) -> Record:
        record = exported(name, {1: 0.5}, 6.0, 0.9, **cell)
        assert isinstance(record.figures, Export)
        timings = tuple(msgspec.structs.replace(timing, latency_seconds=()) for timing in record.figures.timings)
        return msgspec.structs.replace(record, figures=msgspec.structs.replace(record.figures, timings=timings))

    records = [untimed(name, image_size=size) for name in ("onnx", "openvino") for size in (32, 96)]
    found = tables(records)
    assert [row[-2:] for row in find(found, "Every model in every format").rows] == [("passes", "passes")] * 2
    seconds = {"Export, s", "Threads", "Load, ms", "First, ms", "p50, ms", "img/s, batch"}
    assert not seconds & set(find(found, "Exports").columns), "nobody asked for a quiet machine"
    assert not any(table.title.startswith("Which format") for table in found)


def test_what_runs_with_one_thread_alone_has_its_figures_once():
    rows = find(tables([exported("tfjs", {1: 0.5}, 6.0, 0.9), exported("onnx", {1: 0.5, 2: 0.3}, 6.0, 0.9)]), "Exports")
    by_format = {row["Format"]: row for row in (dict(zip(rows.columns, row, strict=True)) for row in rows.rows)}
    assert [by_format["tfjs"][name] for name in ("Threads", "p50, ms", "p50, 1 thread")] == ["1", "0.50", "–"]
    assert [by_format["onnx"][name] for name in ("Threads", "p50, ms", "p50, 1 thread")] == ["2", "0.30", "0.50"]
    assert by_format["tfjs"]["img/s, 1 thread"] == "–"


def test_few_processes_are_said(records: list[Record]):
    table = find(tables(records), "Inference")
    assert {row[table.columns.index("Processes")] for row in table.rows} == {"1"}
    assert "below six" in table.legend[0]


def test_figures_have_three_digits_and_no_exponent():
    assert rate([12345.6]) == "12,346"
    assert rate([1.2345]) == "1.23"
    assert rate([10.0, 11.0, 12.0]) == "11.0 (10.0–12.0)"
    assert rate([]) == "–"
    assert rate([0.00123]) == "0.0012"
    assert rate([-0.5]) == "-0.50"


def test_what_is_too_small_for_its_digits_does_not_read_0():
    assert number(0.001, 2) == "<0.01"
    assert number(0.006, 2) == "0.01"
    assert number(0.0, 2) == "0.00"


def test_one_of_a_kind_is_singular():
    assert [counted(count, "cell") for count in (0, 1, 2)] == ["0 cells", "1 cell", "2 cells"]


def test_a_percentile_without_support_in_every_process_reads_too_few():
    assert milliseconds([[0.001] * 63], 0.9) == "too few"
    assert milliseconds([[0.001] * 64], 0.9) == "1.00"
    assert milliseconds([[0.001] * 340] * 2, 0.99) == "too few", "680 requests of two processes are no 662 of one"
    assert milliseconds([[0.001] * 63, [0.001] * 64], 0.9) == "too few"
    assert milliseconds([], 0.5) == "–"


def test_a_percentile_is_of_each_process_with_the_range_over_them():
    slow, middle, quick = [0.003] * 70, [0.002] * 70, [0.001] * 70
    assert milliseconds([slow, quick, middle], 0.9) == "2.00 (1.00–3.00)"
    assert milliseconds([slow, quick, middle] * 3, 0.5) == rate([1.0, 2.0, 3.0] * 3)


def test_accuracy_carries_the_sampling_error_of_the_test_split():
    assert top1([0.9], 10_000) == "90.0 (89.4–90.6)"
    assert top1([0.92, 0.9], 10_000) == "91.0 (90.0, 92.0)"


def test_a_latency_column_does_not_pool_processes(records: list[Record]):
    replace = msgspec.structs.replace
    first = next(r for r in records if isinstance(r.figures, Inference))
    two = [
        replace(first, process=number, figures=replace(first.figures, latency_seconds=(0.001 * (number + 1),) * 40))
        for number in range(2)
    ]
    shown = find(tables(two), "Inference")
    row = dict(zip(shown.columns, shown.rows[0], strict=True))
    assert row["p50, ms"] == "1.50 (1.00–2.00)"
    assert row["p90, ms"] == "too few", "forty and forty are no sixty-four of one process"
