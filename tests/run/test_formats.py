"""What an export needs is fetched before a run, and nothing for an export that cannot be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plan.cell import Job
from bench.run import formats


def test_nothing_is_fetched_for_what_cannot_be_made_from_a_framework(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("BENCH_ENVIRONMENTS", str(tmp_path / "environments"))
    monkeypatch.setenv("PATH", str(tmp_path))
    jobs = [
        make_job(name, framework=framework)
        for framework in ("timm", "keras-tensorflow")
        for name in ("training", "export:onnx", "export:tfjs")
    ]
    refused = formats.prepare(jobs)
    assert {key: outcome.status for key, outcome in refused.items()} == {
        ("timm", "export:tfjs"): "unsupported",
        ("keras-tensorflow", "export:tfjs"): "unavailable",
    }
    assert refused["timm", "export:tfjs"].reason == "tfjs cannot be made from a torch model, only from keras-tensorflow"
    assert not (tmp_path / "environments").exists()
