"""bench.load gives one row a record, with units in the names of the figures."""

from pathlib import Path

import pandas
import pytest
from test_flags import one

import bench
from bench.errors import UsageError
from bench.records.frame import row
from bench.records.record import Training
from bench.records.store import read_file

FIXTURE = Path(__file__).parent / "schema-1.jsonl"
PROMISED = [
    "cell",
    "architecture",
    "framework",
    "precision",
    "execution",
    "device",
    "batch_size",
    "image_size",
    "measurement",
    "status",
    "reason",
]


def test_a_file_and_its_folder_give_the_same_frame(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(FIXTURE.read_bytes())
    frame = bench.load(tmp_path)
    pandas.testing.assert_frame_equal(frame, bench.load(str(FIXTURE)))
    assert len(frame) == len(read_file(FIXTURE))
    assert set(PROMISED) <= set(frame.columns)


def test_a_rate_is_all_images_over_all_time():
    frame = bench.load(FIXTURE)
    record = next(r for r in read_file(FIXTURE) if isinstance(r.figures, Training))
    assert isinstance(record.figures, Training)
    blocks = record.figures.resident
    images = record.cell.batch_size * blocks.steps_per_block * len(blocks.block_seconds)
    row = frame[(frame.measurement == "training") & (frame.cell == record.cell.id)].iloc[0]
    assert row.training_images_per_second == pytest.approx(images / sum(blocks.block_seconds))


def test_what_was_not_measured_is_missing_and_not_zero():
    frame = bench.load(FIXTURE)
    assert frame[frame.measurement == "build"].training_images_per_second.isna().all()
    assert frame[frame.measurement == "inference"].latency_p99_seconds.isna().all(), "too few requests for a p99"


def test_how_joules_were_read_stands_beside_them():
    seconds = {"block_seconds": (1.0,) * 12, "begun_seconds": tuple(100.0 + number for number in range(12))}
    counted = one(gpu_energy_joules=tuple(150.0 * number for number in range(41)), **seconds)
    sampled = one(gpu_watts=300.0, **seconds)
    for record, method in ((counted, "counter"), (sampled, "sampled power")):
        found = row(record)
        assert found["energy_method"] == method
        assert found["gross_joules_per_image"] == pytest.approx(300 / (record.batch_size or 0))
    assert row(one(**seconds))["energy_method"] is None


def test_no_results_is_a_message():
    with pytest.raises(UsageError, match="measure something first"):
        bench.load("nowhere")
