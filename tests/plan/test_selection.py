"""Options narrow a matrix, or put into it what it does not hold."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.plan.matrix import Grid
from bench.plan.selection import narrow

SMALL = Grid(
    measurements=("training",),
    architectures=("resnet18", "mobilenet_v3_small"),
    frameworks=("torchvision", "timm"),
    precisions=("fp32", "amp-bf16"),
    batch_sizes=(32,),
    image_sizes=(64,),
)
LARGE = Grid(
    measurements=("inference",),
    architectures=("resnet50", "vit_b_16"),
    frameworks=("timm",),
    batch_sizes=(8,),
    image_sizes=("native",),
)


def test_a_glob_keeps_what_it_matches_in_each_grid():
    small, large = narrow((SMALL, LARGE), {"architectures": "resnet*"})
    assert (small.architectures, large.architectures) == (("resnet18",), ("resnet50",))


def test_a_grid_with_nothing_left_is_dropped():
    assert narrow((SMALL, LARGE), {"precisions": "amp-*"}) != ()
    assert len(narrow((SMALL, LARGE), {"precisions": "amp-*"})) == 1


def test_what_the_matrix_does_not_hold_takes_the_place_of_what_it_does():
    small, large = narrow((SMALL, LARGE), {"precisions": "bf16", "batch_sizes": "auto"})
    assert small.precisions == large.precisions == ("bf16",)
    assert small.batch_sizes == large.batch_sizes == ("auto",)


def test_a_folder_of_images_replaces_the_data_set(tmp_path: Path):
    assert narrow((SMALL,), {"datasets": f"folder:{tmp_path}"})[0].datasets == (f"folder:{tmp_path}",)


def test_a_glob_finds_timm_models_that_have_no_card():
    (grid,) = narrow((SMALL,), {"architectures": "timm/convnextv2_at*"})
    assert grid.architectures == ("timm/convnextv2_atto",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"architectures": "resnet19"}, "unknown architecture 'resnet19': did you mean 'resnet18'"),
        ({"architectures": "timm/resnet18dd"}, "unknown timm model 'resnet18dd': did you mean 'resnet18d'"),
        ({"precisions": "fp23"}, "did you mean 'fp32'"),
        ({"datasets": "digit"}, "did you mean 'digits'"),
        ({"batch_sizes": "many"}, "'many' is neither a whole number nor 'auto'"),
        ({"recipes": "basline"}, "did you mean 'baseline'"),
        ({"frameworks": " , "}, "--frameworks: names nothing"),
    ],
)
def test_an_unknown_name_is_told_the_closest(options: dict[str, str], said: str):
    with pytest.raises(UsageError) as raised:
        narrow((SMALL,), options)
    assert said in str(raised.value)
