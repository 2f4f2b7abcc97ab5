"""Cards hold facts that can be checked against the library that ships the weights."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torchvision

from bench.errors import UsageError
from bench.plan.cards import ModelCard, dataset_card, dataset_names, model_card, model_names, published
from bench.plan.files import read_toml


@pytest.mark.parametrize("name", model_names())
def test_published_figures_are_those_of_the_weights_the_card_names(name: str):
    card = model_card(name)
    model = card.frameworks["torchvision"]
    weights = torchvision.models.get_model_weights(model.model)[model.weights]
    scores = weights.meta["_metrics"]["ImageNet-1K"]
    assert card.published is not None
    assert card.published.source.endswith(str(weights))
    assert card.published.parameters == weights.meta["num_params"]
    assert card.published.multiply_accumulates == pytest.approx(weights.meta["_ops"] * 1e9)
    assert (card.published.top1_percent, card.published.top5_percent) == (scores["acc@1"], scores["acc@5"])


@pytest.mark.parametrize("name", model_names())
def test_timm_has_the_model_and_the_weights_the_card_names(name: str):
    model = model_card(name).frameworks["timm"]
    assert f"{model.model}.{model.weights}" in timm.list_pretrained(f"{model.model}.*")


@pytest.mark.parametrize("name", dataset_names())
def test_every_data_set_card_is_valid(name: str):
    assert dataset_card(name).classes > 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("image_size = 224", 'image_size = "224"', "$.image_size"), ("paper =", "papper =", "did you mean `paper`")],
)
def test_a_mistake_in_a_card_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, said: str):
    text = (Path(__file__).parents[2] / "models" / "resnet18.toml").read_text()
    file = tmp_path / "resnet18.toml"
    file.write_text(text.replace(old, new))
    with pytest.raises(UsageError) as raised:
        read_toml(file, ModelCard)
    assert str(file) in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v3_small"])
def test_keras_figures_are_those_of_keras_itself(name: str):
    """Of these two Keras says itself what its weights reach; the others' figures stand on its site alone."""
    there, size = published(name, "keras-tensorflow"), name.removeprefix("mobilenet_v3_")
    (package,) = find_spec("keras").submodule_search_locations  # Importing it here would bring TensorFlow beside torch.
    said = (Path(package) / "src/applications/mobilenet_v3.py").read_text()
    (row,) = re.findall(rf"mobilenet_v3_{size}_1\.0_224 *\| *\d+ *\| *([\d.]+) *\| *([\d.]+)", said)
    assert there is not None
    assert (there.parameters / 1e6, there.top1_percent) == tuple(map(float, row))
    assert published(name, "torchvision") == model_card(name).published
    assert published(name, "timm") != model_card(name).published
