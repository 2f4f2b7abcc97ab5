"""Progress says what ran, what it gave, and how long the rest may take."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench.plan.cell import Job
from bench.plan.estimate import estimate_seconds
from bench.records.store import read_file
from bench.run.progress import Progress, describe, duration

FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"


@pytest.mark.parametrize(("seconds", "said"), [(4.4, "4 s"), (89, "89 s"), (600, "10 min"), (5000, "1 h 23 min")])
def test_a_duration_is_said_as_a_person_says_it(seconds: float, said: str):
    assert duration(seconds) == said


def test_a_record_is_one_line_with_its_figures_or_its_reason():
    lines = {record.measurement: describe(record) for record in read_file(FIXTURE) if record.status == "ok"}
    assert "img/s" in lines["training"]
    assert "p50" in lines["inference"]
    assert "top-1" in lines["accuracy"]
    assert "M parameters" in lines["build"]
    refused = next(record for record in read_file(FIXTURE) if record.status == "unsupported")
    assert describe(refused) == f"unsupported: {refused.reason}"


def test_the_time_left_falls_with_each_job(make_job: Callable[..., Job], capsys: pytest.CaptureFixture[str]):
    todo = [make_job("training", process=number) for number in range(3)]
    record = read_file(FIXTURE)[0]
    progress = Progress()
    progress.begin(todo, done=2)
    left = [progress.seconds_left()]
    for job in todo:
        progress.start([job])
        progress.finish(
            [job], [msgspec.structs.replace(record, cell=job.cell, measurement=job.measurement, process=job.process)]
        )
        left.append(progress.seconds_left())
    assert left[0] == pytest.approx(3 * estimate_seconds(todo[0]))
    assert left == sorted(left, reverse=True)
    assert left[-1] == pytest.approx(0, abs=1e-9)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["[3/5]", "[4/5]", "[5/5]"]
