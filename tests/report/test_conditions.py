"""What differs between two sets of results, but for what was measured, is named with both values."""

import msgspec
import pytest
from test_compare import QUICK, changed, elsewhere, run

from bench.records.record import Record
from bench.report.compare import compare, part
from bench.report.comparison import table


def hashed(records: list[Record], **changes: object) -> list[Record]:
    return [msgspec.structs.replace(r, hashes=msgspec.structs.replace(r.hashes, **changes)) for r in records]


def test_other_software_and_another_protocol_are_told():
    other = []
    for record in run(*QUICK):
        there = msgspec.structs.replace(record.environment, packages=record.environment.packages | {"torch": "2.0"})
        longer = msgspec.structs.replace(record.protocol, warmup_steps=999, processes=50, processes_at_most=50)
        other.append(msgspec.structs.replace(record, environment=there, protocol=longer))
    found = compare(part("a", run(*QUICK)), part("b", other), margin=0.05)
    assert [difference.partition(":")[0] for difference in found.differences] == ["protocol", "torch"]
    assert "2.0 in B" in found.differences[1]


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("system", elsewhere(run(*QUICK), system="Linux 9.9")),
        ("isolation", changed(run(*QUICK), isolation="spawn")),
        ("card", hashed(run(*QUICK), card="another")),
        ("weights", hashed(run(*QUICK), weights="others")),
        ("data set", hashed(run(*QUICK), dataset="another")),
        ("recipe", hashed(run(*QUICK), recipe="another")),
    ],
)
def test_everything_that_a_figure_depends_on_is_told(what: str, other: list[Record]):
    found = compare(part("a", run(*QUICK)), part("b", other))
    assert [difference.partition(":")[0] for difference in found.differences] == [what]


def test_a_driver_matters_on_a_gpu_only():
    for device, expected in (("cpu", []), ("cuda", ["cuda", "driver"])):
        a, b = run(*QUICK, device=device), elsewhere(run(*QUICK, device=device), driver="580.1", cuda="13.0")
        found = compare(part("a", a), part("b", b))
        assert [difference.partition(":")[0] for difference in found.differences] == expected


def test_a_batch_size_that_was_found_otherwise_is_told():
    def found_size(size: int) -> list[Record]:
        return changed(run(*QUICK, batch_size="auto"), batch_size=size)

    (said,) = compare(part("a", found_size(64)), part("b", found_size(56))).differences
    assert said.startswith("batch size found for ")
    assert said.endswith("training: 64 in A, 56 in B")
    assert compare(part("a", found_size(64)), part("b", found_size(64))).differences == ()


def test_what_only_one_side_measured_is_no_difference():
    alone = hashed(run(*QUICK, dataset="folder:pictures"), dataset="there", card="another")
    assert compare(part("a", run(*QUICK)), part("b", [*run(*QUICK), *alone])).differences == ()


def test_another_machine_is_told_and_not_refused():
    found = compare(part("a", run(*QUICK)), part("b", elsewhere(run(*QUICK), cpu="another")))
    assert found.differences == ()
    assert any("Another machine: cpu" in note for note in table(found).notes)
