"""Oxford-IIIT Pet is read by the authors' lists, in which a class has a number and its name stands in the file's."""

from pathlib import Path

from bench.data.read import read_dataset


def test_classes_keep_the_authors_numbers(data_cache: Path, write_image, levels, class_names):
    folder = data_cache / "oxford-iiit-pet"
    breeds = ("Abyssinian", "american_bulldog", "Birman")
    training = [f"{breed}_{number} {place} 1 1" for place, breed in enumerate(breeds, 1) for number in range(100, 120)]
    test = ["Birman_1 3 1 2", "american_bulldog_2 2 2 1"]
    for level, line in enumerate(training + test, start=20):
        write_image(folder / "images" / "images" / f"{line.split()[0]}.jpg", level)
    lists = folder / "annotations" / "annotations"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("#Image CLASS-ID SPECIES BREED ID\n" + "\n".join(training) + "\n")
    (lists / "test.txt").write_text("\n".join(test) + "\n")
    dataset = read_dataset("oxford-iiit-pet", 16)
    assert dataset.classes == ("Abyssinian", "american bulldog", "Birman")
    assert class_names(dataset.test, dataset) == ["Birman", "american bulldog"]
    assert levels(dataset.test) == [80, 81]
    assert sorted(levels(dataset.training) + levels(dataset.validation)) == list(range(20, 80))
    assert len(dataset.validation) > 0
