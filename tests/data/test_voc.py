"""VOC 2007: one list a class; what is only there with difficulty counts as not there."""

from pathlib import Path

from bench.data.read import read_dataset

LISTS = {
    "trainval": {
        "train": {"cat": {"000005": 1, "000007": -1, "000009": 0}, "person": {"000005": 1, "000007": 1, "000009": -1}},
        "val": {"cat": {"000012": 1}, "person": {"000012": -1}},
    },
    "test": {"test": {"cat": {"000001": 0, "000002": 1}, "person": {"000001": 1, "000002": 1}}},
}


def test_several_classes_an_image(data_cache: Path, write_image, levels):
    for archive, lists in LISTS.items():
        inside = data_cache / "voc2007" / archive / "VOCdevkit" / "VOC2007"
        (inside / "ImageSets" / "Main").mkdir(parents=True)
        for split, classes in lists.items():
            stems = classes["cat"]
            (inside / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
            for name, present in classes.items():
                lines = "".join(f"{stem} {value:2d}\n" for stem, value in present.items())
                (inside / "ImageSets" / "Main" / f"{name}_{split}.txt").write_text(lines)
            for stem in stems:
                write_image(inside / "JPEGImages" / f"{stem}.jpg", int(stem) * 10)
    dataset = read_dataset("voc2007", 16)
    assert dataset.classes == ("cat", "person")
    assert dataset.several_labels
    assert dataset.training.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert dataset.validation.labels.tolist() == [[1, 0]]
    assert dataset.test.labels.tolist() == [[0, 1], [1, 1]]
    assert levels(dataset.training) == [50, 70, 90]
    assert levels(dataset.test) == [10, 20]
