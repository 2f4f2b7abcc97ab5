"""TensorFlow.js: its environment is made, its converter and both of its runtimes run, and what is missing is told."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import JobError, Unavailable
from bench.export import tfjs, tfjs_chromium, tfjs_environment
from bench.plan.cell import Job
from bench.records.record import Export
from bench.run.launcher import Launcher


@pytest.fixture(scope="session")
def environment() -> None:
    """Make the environment, or skip with the reason where this machine cannot."""
    if shutil.which("node") is None:
        pytest.skip("no Node.js on the path")
    tfjs_environment.prepare(print)


@pytest.mark.parametrize("name", ["tfjs", "tfjs-chromium"])
def test_a_graph_model_agrees_with_its_source(
    environment: None, make_job: Callable[..., Job], launcher: Launcher, tmp_path: Path, name: str
):
    if name == "tfjs-chromium" and not any(map(shutil.which, tfjs_chromium.NAMES)):
        pytest.skip("no Chromium on the path")
    changes = {"framework": "keras-tensorflow", "execution": "compiled", "timeout_seconds": 300.0, "image_size": 40}
    outcome = launcher.launch(
        make_job(f"export:{name}", architecture="mobilenet_v3_small", **changes), tmp_path / "log"
    ).outcome
    assert outcome.status == "ok", outcome.reason
    assert isinstance(outcome.figures, Export)
    assert outcome.figures.maximum_relative_error < 1e-4
    assert outcome.figures.training_frameworks == ()
    assert {timing.threads for timing in outcome.figures.timings} == ({1} if name == "tfjs" else {1, 2})


def test_without_node_there_is_no_row_but_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="there is no node on the path"):
        tfjs_environment.prepare(print)


def test_without_chromium_there_is_no_row_but_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="apt-get install chromium"):
        tfjs_chromium.chromium()


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on the path")
def test_without_a_network_the_reason_is_pips_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("BENCH_ENVIRONMENTS", str(tmp_path))
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    told: list[str] = []
    with pytest.raises(Unavailable, match=r"could not be made, pip said: .+"):
        tfjs_environment.prepare(told.append)
    assert "once, into" in told[0]
    assert not list(tmp_path.glob("tfjs-*python*[!k]"))


@pytest.fixture
def as_chromium(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Return a function that makes a script of the shell what is found as Chromium."""

    def place(script: str) -> None:
        program = tmp_path / "bin" / tfjs_chromium.NAMES[0]
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return place


def test_a_browser_that_ends_at_once_is_told(as_chromium: Callable[[str], None]):
    as_chromium("exit 3")
    with pytest.raises(JobError, match="Chromium ended with status 3"):
        tfjs_chromium.visit("page/page.html", {}, ("/answer",))


def test_a_page_that_fails_is_told(environment: None, tmp_path: Path):
    if not any(map(shutil.which, tfjs_chromium.NAMES)):
        pytest.skip("no Chromium on the path")
    (tmp_path / "page.html").write_text("<script>fetch('/error', {method: 'POST', body: 'no model'})</script>")
    assert tfjs_chromium.visit("page/page.html", {"page": tmp_path}, ("/answer", "/error")) == {"/error": b"no model"}


def test_a_converter_that_fails_is_told(environment: None, tmp_path: Path):
    (tmp_path / "savedmodel").mkdir()
    with pytest.raises(JobError, match=r"tensorflowjs_converter: .+"):
        tfjs.convert(tmp_path / "savedmodel", tmp_path / "model")
