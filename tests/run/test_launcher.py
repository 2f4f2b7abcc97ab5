"""Whatever a job does, it ends as one outcome, and nothing of it stays behind."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.plan.cell import Job
from bench.records.record import Training
from bench.run.launcher import Launcher

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module", params=["fork", "spawn"])
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    with Launcher(request.param) as launcher:
        yield launcher


def processes_of(session: str) -> list[int]:
    """Return the processes whose environment holds a mark, this one left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                if session.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_a_job_brings_its_figures_back(launcher: Launcher, make_job: MakeJob, tmp_path: Path):
    launched = launcher.launch(make_job("training"), tmp_path / "log")
    assert launched.outcome.status == "ok", launched.outcome.reason
    figures = launched.outcome.figures
    assert isinstance(figures, Training)
    assert len(figures.resident.block_seconds) == 3
    assert launched.start_seconds is not None
    assert 0 < launched.start_seconds < launched.wall_seconds


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("crash", "failed", "killed by SIGSEGV"),
        ("exhaust-memory", "out_of_memory", "MemoryError"),
        ("nan", "diverged", "nan"),
        ("raise", "failed", "RuntimeError: told to fail"),
    ],
)
def test_a_fault_is_a_status_and_the_next_job_runs(
    launcher: Launcher, make_job: MakeJob, tmp_path: Path, fault: str, status: str, said: str
):
    launched = launcher.launch(make_job("training", architecture=f"fake/{fault}"), tmp_path / "log")
    assert launched.outcome.status == status
    assert said in str(launched.outcome.reason)
    assert launcher.launch(make_job("build"), tmp_path / "log").outcome.status == "ok"


def test_a_hang_is_killed_at_its_time_limit(launcher: Launcher, make_job: MakeJob, tmp_path: Path):
    job = make_job("training", architecture="fake/hang", timeout_seconds=3.0)
    launched = launcher.launch(job, tmp_path / "log")
    assert launched.outcome.status == "timeout"
    assert launched.wall_seconds < 10
    assert launcher.launch(make_job("build"), tmp_path / "log").outcome.status == "ok"


def test_what_a_job_prints_goes_to_its_log_and_nowhere_else(
    launcher: Launcher, make_job: MakeJob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    launched = launcher.launch(make_job("inference", architecture="fake/print"), tmp_path / "log")
    assert launched.outcome.status == "ok"
    assert "{this is not a record}" in (tmp_path / "log").read_text()
    assert capfd.readouterr() == ("", "")


def test_children_that_a_job_leaves_are_ended_even_in_sessions_of_their_own(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mark = f"bench-test-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv("BENCH_TEST_MARK", mark)
    with Launcher("fork") as launcher:
        launched = launcher.launch(make_job("inference", architecture="fake/leave-children"), tmp_path / "log")
        assert launched.outcome.status == "ok"
        assert len(processes_of(mark)) == 1, "the server alone is left"
    assert processes_of(mark) == []


def test_a_killed_worker_is_a_failed_row_that_says_so(launcher: Launcher, make_job: MakeJob, tmp_path: Path):
    def kill_when_started() -> None:
        while launcher_job(launcher) is None:
            time.sleep(0.01)
        os.kill(launcher_job(launcher) or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill_when_started)
    killer.start()
    launched = launcher.launch(make_job("training", architecture="fake/hang"), tmp_path / "log")
    killer.join()
    assert launched.outcome.status == "failed"
    assert "SIGKILL" in str(launched.outcome.reason)


def test_a_killed_server_is_a_failed_row_and_the_next_job_gets_another(make_job: MakeJob, tmp_path: Path):
    with Launcher("fork") as launcher:
        assert launcher.launch(make_job("build"), tmp_path / "log").outcome.status == "ok"
        (server,) = launcher._servers.values()
        threading.Timer(1.0, server._process.kill).start()
        launched = launcher.launch(make_job("training", architecture="fake/hang"), tmp_path / "log")
        assert launched.outcome.status == "failed"
        assert "server ended" in str(launched.outcome.reason)
        assert launcher.launch(make_job("build"), tmp_path / "log").outcome.status == "ok"


def launcher_job(launcher: Launcher) -> int | None:
    return next((server.job for server in launcher._servers.values()), None)


def test_a_worker_finds_packages_but_not_the_folder_it_was_started_in(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "numpy.py").write_text("raise ImportError('shadowed')")
    monkeypatch.chdir(tmp_path)
    with Launcher("fork") as launcher:
        assert launcher.launch(make_job("build"), tmp_path / "log").outcome.status == "ok"
