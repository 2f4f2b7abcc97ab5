"""Parity: what differs undeclared and what is declared untruly are wrong, and `bench doctor --parity` ends with 1."""

import msgspec
import pytest

from bench.commands import measuring
from bench.records.record import Traits
from bench.report.parity import UNDECLARED, UNTRUE, tables
from bench.run import doctor
from bench.run.parity import Built, differences

TRAITS = Traits(
    parameters=25_557_032,
    flops=8_200_000_000,
    outputs=1000,
    pixels=(-2.1, -2.0, -1.8, 2.2, 2.4, 2.6),
    published_pixels=(-2.1, -2.0, -1.8, 2.2, 2.4, 2.6),
    batch_norm_epsilon=(1e-5,),
    batch_norm_momentum=(0.1,),
    dropout=0.0,
)


def built(framework: str, declared: dict[str, str] | None = None, **changes: object) -> Built:
    traits = msgspec.structs.replace(TRAITS, **changes)
    return Built(architecture="resnet50", framework=framework, traits=traits, reason=None, declared=declared or {})


FAILED = Built(architecture="resnet50", framework="timm", traits=None, reason="it broke", declared={})


@pytest.mark.parametrize(
    ("other", "said", "status"),
    [
        (built("timm"), None, 0),
        (built("timm", dropout=0.2), UNDECLARED, 1),
        (built("timm", {"dropout": "timm drops"}, dropout=0.2), "timm drops", 0),
        (built("timm", {"dropout": "timm drops"}), UNTRUE, 1),
        (FAILED, None, 1),
    ],
    ids=["alike", "undeclared", "declared", "untrue", "failed"],
)
def test_a_difference_must_be_declared_and_true(
    other: Built, said: str | None, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    both = [built("torchvision"), other]
    found = list(differences(both))
    rows = [row for table in tables(both, found) if table.title == "Differences" for row in table.rows]
    assert [row[-1].partition(":")[0] for row in rows] == ([said] if said else [])
    assert all(row[:3] == ("ResNet-50", "timm", "Dropout") for row in rows)
    monkeypatch.setattr(doctor, "build_all", lambda names, launcher, begin: both)
    with pytest.raises(SystemExit) as ended:
        measuring.doctor(parity=True)
    assert ended.value.code == status
    assert "ResNet-50" in capsys.readouterr().out


def test_nothing_built_is_no_parity(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "build_all", lambda names, launcher, begin: [])
    with pytest.raises(SystemExit) as ended:
        measuring.doctor(parity=True)
    assert ended.value.code == 1


def test_what_cannot_be_compared_with_the_first_framework_is_not():
    assert not list(differences([built("timm", dropout=0.2)]))
