"""Food-101 is read by the authors' lists as text, whose names leave out the suffix."""

from pathlib import Path

from bench.data.read import read_dataset


def test_lists_name_dishes_and_numbers(data_cache: Path, write_image, levels, class_names):
    inside = data_cache / "food101" / "unpacked" / "food-101"
    training = [f"{dish}/{number}" for dish in ("waffles", "apple_pie") for number in range(1000, 1030)]
    test = ["waffles/7", "apple_pie/8"]
    for level, name in enumerate(training + test, start=20):
        write_image(inside / "images" / f"{name}.jpg", level)
    (inside / "meta").mkdir()
    (inside / "meta" / "classes.txt").write_text("apple_pie\nwaffles\n")
    (inside / "meta" / "train.txt").write_text("\n".join(training) + "\n")
    (inside / "meta" / "test.txt").write_text("\n".join(test) + "\n")
    dataset = read_dataset("food101", 16)
    assert dataset.classes == ("apple_pie", "waffles")
    assert class_names(dataset.test, dataset) == ["waffles", "apple_pie"]
    assert levels(dataset.test) == [80, 81]
    assert sorted(levels(dataset.training) + levels(dataset.validation)) == list(range(20, 80))
    assert set(class_names(dataset.training, dataset)[:5]) == {"waffles"}
