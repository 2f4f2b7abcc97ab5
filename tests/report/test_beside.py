"""A published rate stands beside a measured one only where GPU, architecture, size, execution and kind of precision agree."""

from typing import Any

import msgspec
import pytest
from test_lint import powered

from bench.records.record import Record, Training
from bench.report.beside import beside_published
from bench.report.row import Row

RESNET50 = {"architecture": "resnet50", "image_size": 224, "precision": "amp-bf16", "execution": "eager"}


def on_h200(gpu: str = "NVIDIA H200", **cell: Any) -> Record:
    """Return a training of fifty batches of 64 a second."""
    record = powered(500.0)
    assert isinstance(record.figures, Training)
    blocks = msgspec.structs.replace(record.figures.resident, steps_per_block=50, block_seconds=(1.0,) * 12)
    (held,) = record.environment.gpus
    return msgspec.structs.replace(
        record,
        batch_size=64,
        cell=msgspec.structs.replace(record.cell, **(RESNET50 | {"batch_size": 64} | cell)),
        figures=msgspec.structs.replace(record.figures, resident=blocks),
        environment=msgspec.structs.replace(
            record.environment, gpus=(msgspec.structs.replace(held, name=gpu),), dirty=False
        ),
    )


@pytest.mark.parametrize(("precision", "theirs"), [("amp-bf16", 3079), ("amp-fp16", 3079), ("tf32", 2259)])
def test_a_rate_stands_beside_what_is_published_of_the_same(precision: str, theirs: int):
    record = on_h200(precision=precision)
    table = beside_published([Row(record.cell, [record])])
    (row,) = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (row["img/s"], row["Published img/s"]) == ("3,200", f"{theirs:,}")
    assert row["Ours over theirs"] == f"{3200 / theirs:.3f}"
    assert "synthetic" in row["Setting"]
    assert row["Source"]


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "fp32"},
        {"precision": "bf16"},
        {"execution": "compiled"},
        {"image_size": 128},
        {"architecture": "resnet18"},
        {"gpu": "NVIDIA H200 NVL"},
    ],
)
def test_nothing_stands_beside_what_is_not_the_same(changes: dict[str, Any]):
    record = on_h200(**changes)
    assert beside_published([Row(record.cell, [record])]).rows == ()
