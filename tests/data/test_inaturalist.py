"""iNaturalist 2021: the authors' validation is the test, and training gives the validation."""

from pathlib import Path

from bench.data.read import read_dataset

SPECIES = (
    "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris",
    "09999_Plantae_Tracheophyta_Polypodiopsida_Polypodiales_Thelypteridaceae_Phegopteris_connectilis",
)


def test_folders_name_species(data_cache: Path, write_image, levels, class_names):
    folder = data_cache / "inaturalist"
    for place, species in enumerate(SPECIES):
        for number in range(30):
            write_image(folder / "training" / "train_mini" / species / f"{number:08x}.jpg", 10 + 30 * place + number)
        write_image(folder / "validation" / "val" / species / "it.jpg", 200 + place)
    dataset = read_dataset("inaturalist", 16)
    assert dataset.classes == SPECIES
    assert levels(dataset.test) == [200, 201]
    assert list(dataset.test.labels) == [0, 1]
    assert sorted(levels(dataset.training) + levels(dataset.validation)) == list(range(10, 70))
    assert len(dataset.validation) > 0
