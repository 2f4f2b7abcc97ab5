"""`bench download` and `bench inspect`, as a person types them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

RunBench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("digits", 0, "digits: comes with the installation"),
        ("folder:here", 0, "folder:here: images of your own; nothing to download"),
        ("imagenett", 2, "did you mean 'imagenette'"),
        ("celeba", 1, "list_eval_partition.txt (md5 d32c9cbf5e040fd4025c592c306e6668)"),
    ],
)
def test_a_download_says_in_one_line_what_is_to_do(
    run_bench: RunBench, data_cache: Path, name: str, status: int, said: str
):
    done = run_bench("download", name)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if status == 1:
        assert str(data_cache / name) in done.stderr


def test_nothing_is_downloaded_inside_a_measurement(run_bench: RunBench, data_cache: Path):
    done = run_bench(
        "run", "--frameworks", "fake", "--architectures", "fake/well", "--dataset", "cifar10", "--matrix", "smoke"
    )
    assert "type: bench download cifar10" in done.stdout + done.stderr
    assert not (data_cache / "cifar10").exists()


def test_an_inspection_shows_the_splits_and_ends_with_1_where_something_is_wrong(run_bench: RunBench, tmp_path: Path):
    done = run_bench("inspect", "digits")
    assert done.returncode == 0
    assert done.stdout.endswith("nothing wrong\n")
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(20):
                name = tmp_path / part / label / f"{number}.png"
                Image.new("RGB", (20, 20), (number, number * 5 * (part == "train"), 200)).save(name)
    done = run_bench("inspect", f"folder:{tmp_path}")
    assert done.returncode == 1
    assert "| test | 40 |" in done.stdout
    assert "sizes: 20×20 to 20×20 px, median 20×20\nmodes: 80 RGB" in done.stdout
    assert "wrong: " in done.stdout
    assert done.stdout.endswith("faults: 1\n")
    done = run_bench("inspect", "csv:none.csv")
    assert done.returncode == 2
    assert "csv:none.csv: no such file" in done.stderr
