"""TensorFlow.js: its environment is made, its converter and both of its runtimes run, and what is missing is told."""

import http.client
import http.server
import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CHECKOUT

from bench.errors import JobError, Unavailable
from bench.export import tfjs, tfjs_chromium, tfjs_environment
from bench.export.find import find
from bench.export.format import Timed
from bench.export.make import Made
from bench.plan.cell import Job
from bench.records.record import Export
from bench.run.launcher import Launcher


@pytest.fixture(scope="session")
def environment() -> None:
    """Make the environment, or skip with the reason where this machine cannot."""
    if shutil.which("node") is None:
        pytest.skip("no Node.js on the path")
    tfjs_environment.prepare(print)


def skip_without_browser(name: str = "tfjs-chromium") -> None:
    if name == "tfjs-chromium" and not any(map(shutil.which, tfjs_chromium.NAMES)):
        pytest.skip("no Chromium on the path")


@pytest.mark.parametrize("name", ["tfjs", "tfjs-chromium"])
def test_a_graph_model_agrees_with_its_source(
    environment: None, make_job: Callable[..., Job], launcher: Launcher, tmp_path: Path, name: str
):
    skip_without_browser(name)
    changes = {"framework": "keras-tensorflow", "execution": "compiled", "timeout_seconds": 300.0, "image_size": 40}
    asked = time.perf_counter()
    outcome = launcher.launch(
        make_job(f"export:{name}", architecture="mobilenet_v3_small", **changes), tmp_path / "log"
    ).outcome
    assert outcome.status == "ok", outcome.reason
    assert isinstance(outcome.figures, Export)
    assert outcome.figures.maximum_relative_error < 1e-4
    assert outcome.figures.training_frameworks == ()
    assert re.search(r" \(4\.\d+\.\d+, (Node\.js|Chromium) \d+", outcome.figures.runtime)
    # TensorFlow.js gives a page at most half of the logical processors.
    most = 1 if name == "tfjs" else max(1, min(2, (os.cpu_count() or 1) // 2))
    assert {timing.threads for timing in outcome.figures.timings} == {1, most}
    for timing in outcome.figures.timings:
        assert sum(timing.latency_group_sizes) == len(timing.latency_seconds)
        assert len(timing.latency_begun_seconds) == len(timing.latency_group_sizes)
        assert timing.peak_resident_bytes is not None
        assert timing.peak_resident_bytes > 50_000_000
    begun = [moment for timing in outcome.figures.timings for moment in timing.latency_begun_seconds]
    assert asked < begun[0] <= begun[-1] < time.perf_counter(), "on the clock of the telemetry"
    assert begun == sorted(begun)


def negative(name: str, folder: Path) -> Made:
    """Return a graph model that makes of each value of an image a logit, its negative."""
    chosen = find(name)
    model = folder / "model"
    model.mkdir()
    nodes = [
        {"name": "pixels", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}},
        {"name": "logits", "op": "Neg", "input": ["pixels"], "attr": {"T": {"type": "DT_FLOAT"}}},
    ]
    topology = {"node": nodes, "versions": {"producer": 1}}
    held = {"format": "graph-model", "modelTopology": topology, "weightsManifest": []}
    (model / "model.json").write_text(json.dumps(held))
    artifacts = {1: model, 4: model}
    return Made(format=name, chosen=chosen, artifacts=artifacts, export_seconds=0, artifact_bytes=0, method="by hand")


@pytest.mark.parametrize("name", ["tfjs", "tfjs-chromium"])
def test_every_image_is_answered_once_whatever_the_batch(environment: None, tmp_path: Path, name: str):
    skip_without_browser(name)
    values = np.arange(7 * 12, dtype=np.float32).reshape(7, 2, 2, 3)
    np.save(tmp_path / "pixels.npy", values)
    made = negative(name, tmp_path)
    made.ask(made.question(tmp_path / "pixels.npy", 4, 1, logits=tmp_path / "logits.npy"))
    assert np.array_equal(np.load(tmp_path / "logits.npy"), -values.reshape(7, 12))


@pytest.mark.parametrize("name", ["tfjs", "tfjs-chromium"])
def test_images_that_nobody_asks_about_take_no_memory(environment: None, tmp_path: Path, name: str):
    """Node.js cannot even read a file of 2 GiB at once; this one takes no room on the disk."""
    skip_without_browser(name)
    np.lib.format.open_memmap(tmp_path / "pixels.npy", "w+", np.float32, (15_000, 112, 112, 3))
    made = negative(name, tmp_path)
    (answer,) = made.ask(made.question(tmp_path / "pixels.npy", 1, 1, timed=Timed(3, 10.0)))
    assert len(answer.latency_seconds) == 3
    assert answer.peak_resident_bytes is not None
    assert answer.peak_resident_bytes < 1 << 30


def test_without_node_there_is_no_row_but_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="there is no node on the path"):
        tfjs_environment.prepare(print)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on the path")
def test_an_environment_whose_python_is_gone_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def make(folder: Path, tell: object) -> None:
        (folder / "venv" / "bin").mkdir(parents=True)
        (folder / "venv" / "bin" / "python").symlink_to(sys.executable)
        (folder / "node_modules").mkdir()
        made.append(folder)

    made: list[Path] = []
    monkeypatch.setenv("BENCH_ENVIRONMENTS", str(tmp_path))
    monkeypatch.setattr(tfjs_environment, "_make", make)
    monkeypatch.setattr(tfjs_environment, "_find", lambda program: None)
    tfjs_environment.prepare(print)
    tfjs_environment.prepare(print)
    assert len(made) == 1
    tfjs_environment.python().unlink()
    tfjs_environment.python().symlink_to(tmp_path / "removed")
    with pytest.raises(Unavailable, match="is not there"):
        tfjs_environment.needs()
    tfjs_environment.prepare(print)
    assert len(made) == 2
    tfjs_environment.needs()


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


def test_a_browser_that_ends_at_once_is_told_without_its_chatter(as_chromium: Callable[[str], None], tmp_path: Path):
    as_chromium("echo no bus >&2; exit 3")
    made = negative("tfjs-chromium", tmp_path)
    with pytest.raises(JobError, match=r"^tfjs-chromium was not run: Chromium ended with status 3$"):
        made.ask(made.question(tmp_path / "pixels.npy", 1, 1))


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on the path")
def test_without_a_network_the_reason_is_npms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    told: list[str] = []
    with pytest.raises(
        Unavailable, match=r"made, npm said: .*request to http://127.*tfjs.* failed, reason: .*ECONNREFUSED"
    ):
        tfjs_environment._install_runtime(tmp_path, told.append)
    assert any("ECONNREFUSED" in line for line in told), "what it says comes through"


def test_an_installation_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tfjs_environment, "LIMIT_SECONDS", 0.1)
    with pytest.raises(Unavailable, match=r"pip said: nothing more, and was killed after 0\.1 s"):
        tfjs_environment._run("pip", print, "sleep", "600")


# What `bench export` does with an artifact until somebody ends it.
ASKING = """
import sys
from pathlib import Path
from bench.commands.interruption import signals_interrupt
from bench.export.find import find
from bench.export.make import Made
folder = Path(sys.argv[1])
about = {"export_seconds": 0, "artifact_bytes": 0, "method": ""}
made = Made(format="tfjs-chromium", chosen=find("tfjs-chromium"), artifacts={1: folder}, **about)
with signals_interrupt():
    made.ask(made.question(folder / "pixels.npy", 1, 1))
"""


def test_an_export_that_is_ended_leaves_no_browser_and_no_profile(as_chromium: Callable[[str], None], tmp_path: Path):
    as_chromium(f'echo $$ "$@" > {tmp_path}/begun; exec sleep 600')
    os.mkfifo(tmp_path / "begun")
    with subprocess.Popen(
        [sys.executable, "-c", ASKING, str(tmp_path)], cwd=CHECKOUT, stderr=subprocess.DEVNULL
    ) as asking:
        browser, *arguments = (tmp_path / "begun").read_text().split()
        (profile,) = (Path(text.partition("=")[2]) for text in arguments if text.startswith("--user-data-dir="))
        assert profile.exists()
        alive = os.pidfd_open(int(browser))
        asking.terminate()
    assert select.select([alive], [], [], 60)[0], "the browser has ended"
    os.close(alive)
    assert not profile.exists()


@pytest.mark.parametrize("address", ["/page/{outside}", "/page/../outside.txt", "/page/link.txt", "/other/outside.txt"])
def test_a_page_is_served_nothing_outside_of_its_folders(address: str, tmp_path: Path):
    outside, folder = tmp_path / "outside.txt", tmp_path / "folder"
    folder.mkdir()
    for file in (outside, folder / "inside.txt"):
        file.write_text("read")
    (folder / "link.txt").symlink_to(outside)
    served = type("Served", (tfjs_chromium.Page,), {"folders": {"page": folder}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = []
        for path in ("/page/inside.txt?now", address.format(outside=outside)):
            asking = http.client.HTTPConnection("127.0.0.1", server.server_port)
            asking.request("GET", path)
            found.append(asking.getresponse().status)
            asking.close()
        server.shutdown()
    assert found == [200, 404]


def test_a_page_that_fails_is_told(environment: None, tmp_path: Path):
    skip_without_browser()
    (tmp_path / "page.html").write_text("<script>fetch('/error', {method: 'POST', body: 'no model'})</script>")
    assert tfjs_chromium.visit("page/page.html", {"page": tmp_path}, ("/answer", "/error")).posted == {
        "/error": b"no model"
    }


def test_a_converter_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("BENCH_ENVIRONMENTS", str(tmp_path))
    monkeypatch.setattr(tfjs, "LIMIT_SECONDS", 0.1)
    python = tfjs_environment.python()
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o755)
    with pytest.raises(JobError, match=r"tensorflowjs_converter: no end within 0\.1 s"):
        tfjs.convert(tmp_path / "savedmodel", tmp_path / "model")


def test_a_converter_that_fails_is_told(environment: None, tmp_path: Path):
    (tmp_path / "savedmodel").mkdir()
    with pytest.raises(JobError, match=r"tensorflowjs_converter: .+"):
        tfjs.convert(tmp_path / "savedmodel", tmp_path / "model")


def test_a_bias_in_four_axes_gets_its_one_and_all_else_stays(tmp_path: Path):
    """As the converter leaves one where it folds a normalisation into a convolution."""
    shapes = {"kernel": [3, 3, 4, 8], "bias": [1, 1, 1, 8], "flat": [8], "added": [1, 1, 1, 8]}
    model = {
        "modelTopology": {
            "node": [
                {"name": "first", "op": "_FusedConv2D", "input": ["pixels", "kernel", "bias"]},
                {"name": "second", "op": "_FusedConv2D", "input": ["first", "kernel", "flat"]},
                {"name": "third", "op": "AddV2", "input": ["second", "added"]},
            ]
        },
        "weightsManifest": [{"paths": ["shard"], "weights": [{"name": n, "shape": s} for n, s in shapes.items()]}],
    }
    (tmp_path / "model.json").write_text(json.dumps(model))
    tfjs._flatten_biases(tmp_path)
    found = json.loads((tmp_path / "model.json").read_text())
    assert found["modelTopology"] == model["modelTopology"]
    (group,) = found["weightsManifest"]
    assert {one["name"]: one["shape"] for one in group["weights"]} == shapes | {"bias": [8]}
