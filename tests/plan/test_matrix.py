"""A matrix names what exists, and expands to every cell once."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.plan.matrix import Grid, expand, matrix_names, matrix_path, read_matrix

GRID = Grid(
    measurements=("build",),
    architectures=("resnet18", "inception_v3"),
    frameworks=("torchvision", "timm"),
    batch_sizes=(8,),
    image_sizes=("native",),
)


@pytest.mark.parametrize("name", matrix_names())
def test_every_matrix_that_ships_is_valid_and_not_empty(name: str):
    assert expand(read_matrix(matrix_path(name)).grid, "cpu")


def test_native_is_the_size_the_architecture_is_published_for():
    assert {(p.cell.architecture, p.cell.image_size) for p in expand((GRID,), "cpu")} == {
        ("resnet18", 224),
        ("inception_v3", 299),
    }


def test_a_cell_in_two_grids_stands_once_with_the_measurements_of_both():
    other = Grid(
        measurements=("training",),
        architectures=("resnet18",),
        frameworks=("timm",),
        batch_sizes=(8,),
        image_sizes=(224,),
    )
    planned = expand((GRID, other), "cpu")
    assert len(planned) == 4
    assert [p.measurements for p in planned if p.cell.id.startswith("resnet18/timm")] == [("build", "training")]


def test_a_model_without_a_card_belongs_to_one_framework():
    grid = Grid(
        measurements=("build",),
        architectures=("timm/resnet10t",),
        frameworks=("torchvision", "timm"),
        batch_sizes=(8,),
        image_sizes=(64,),
    )
    assert [p.cell.framework for p in expand((grid,), "cpu")] == ["timm"]


VALID = """description = "d"
[[grid]]
measurements = ["build"]
architectures = ["resnet18"]
frameworks = ["timm"]
batch_sizes = [8]
image_sizes = [64]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"resnet18"', '"resnet81"', "unknown architecture 'resnet81': did you mean 'resnet18'"),
        ('"timm"', '"tim"', "unknown framework 'tim': did you mean 'timm'"),
        ('"build"', '"biuld"', "unknown measurement 'biuld': did you mean 'build'"),
        ("batch_sizes", "batchsizes", "did you mean `batch_sizes`"),
        ("[8]", '["eight"]', "$.grid[0].batch_sizes[0]"),
        ("[8]", "[0]", "0 is not a size"),
        ("batch_sizes = [8]", "", "batch_sizes"),
        ('"resnet18"', '"tmm/resnet18"', "unknown framework 'tmm': did you mean 'timm'"),
        ("description", "[description", "fake"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, said: str):
    file = tmp_path / "fake.toml"
    file.write_text(VALID.replace(old, new))
    with pytest.raises(UsageError) as raised:
        read_matrix(file)
    assert str(file) in str(raised.value)
    assert said in str(raised.value)


def test_an_unknown_matrix_is_told_the_closest():
    with pytest.raises(UsageError, match="did you mean 'quick'"):
        matrix_path("quik")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("blocks = 0", "`$.protocol.blocks`"),
        ("timeout_seconds = 0.0", "`$.protocol.timeout_seconds`"),
        ("inference_block_seconds = -1.0", "`$.protocol.inference_block_seconds`"),
    ],
)
def test_a_protocol_that_measures_nothing_is_refused(tmp_path: Path, line: str, said: str):
    file = tmp_path / "mine.toml"
    file.write_text(f"""description = "mine"
[protocol]
{line}
[[grid]]
measurements = ["build"]
architectures = ["resnet18"]
frameworks = ["fake"]
batch_sizes = [8]
image_sizes = [32]
""")
    with pytest.raises(UsageError) as raised:
        read_matrix(file)
    assert said in str(raised.value)


def test_a_model_without_a_card_is_looked_up_and_the_closest_name_offered(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text("""description = "mine"
[[grid]]
measurements = ["build"]
architectures = ["fake/hagn"]
frameworks = ["fake"]
batch_sizes = [8]
image_sizes = [32]
""")
    with pytest.raises(UsageError, match=r"unknown fake model 'hagn': did you mean 'hang'"):
        read_matrix(file)
