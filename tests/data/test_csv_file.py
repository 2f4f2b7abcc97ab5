"""A CSV of labels, in every form that people write, and a message for every other."""

from pathlib import Path

import numpy as np
import pytest

from bench.data.read import read_dataset
from bench.errors import JobError, UsageError
from bench.plan.cards import check_dataset, dataset_hash


@pytest.fixture
def folder(tmp_path: Path, write_image) -> Path:
    for number in range(60):
        write_image(tmp_path / "images" / f"{number}.jpg", number * 4)
    return tmp_path


def write(folder: Path, header: str, lines: list[str]) -> str:
    (folder / "labels.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8-sig")
    return f"csv:{folder / 'labels.csv'}"


def test_one_label_an_image(folder: Path, levels, class_names):
    lines = [f"images/{number}.jpg,{'cat' if number % 2 else 'dog'}" for number in range(60)]
    dataset = read_dataset(write(folder, "file,label", lines), 16)
    assert dataset.classes == ("cat", "dog")
    assert not dataset.several_labels
    splits = (dataset.training, dataset.validation, dataset.test)
    assert sum(len(split) for split in splits) == 60
    for split in splits:
        expected = ["cat" if level // 4 % 2 else "dog" for level in levels(split)]
        assert class_names(split, dataset) == expected


@pytest.mark.parametrize("separator", ["|", ";", " | "])
def test_several_labels_an_image_or_none(folder: Path, separator: str):
    lines = [f"images/{number}.jpg,{['', 'cat', f'dog{separator}cat'][number % 3]},train" for number in range(30)]
    lines += ["images/40.jpg,dog,val", "images/41.jpg,,test"]
    dataset = read_dataset(write(folder, "file,labels,split", lines), 16)
    assert dataset.classes == ("cat", "dog")
    assert dataset.training.labels[:3].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert dataset.validation.labels.tolist() == [[0, 1]]
    assert dataset.test.labels.tolist() == [[0, 0]]


def test_one_column_a_class_keeps_the_columns_order(folder: Path):
    lines = [f"{['train', 'Validation', 'test'][number % 3]},images/{number}.jpg,1,{number % 2}" for number in range(9)]
    dataset = read_dataset(write(folder, "split,file,wet,cold", lines), 16)
    assert dataset.classes == ("wet", "cold")
    assert dataset.training.labels.tolist() == [[1, 0], [1, 1], [1, 0]]
    assert dataset.validation.labels.tolist() == [[1, 1], [1, 0], [1, 1]]


def test_what_the_split_column_leaves_out_is_taken_as_of_a_folder(folder: Path):
    def lines(*parts: str) -> list[str]:
        return [f"images/{n}.jpg,{n % 2},{'train' if n < 50 else parts[n % len(parts)]}" for n in range(60)]

    for part in ("val", "test"):
        dataset = read_dataset(write(folder, "file,label,split", lines(part)), 16)
        assert len(dataset.test) == 10
        assert len(dataset.training) + len(dataset.validation) == 50
        assert len(dataset.validation) > 0


def test_an_added_line_moves_no_other_image(folder: Path):
    lines = [f"images/{number}.jpg,{number % 2}" for number in range(50)]
    before = read_dataset(write(folder, "file,label", lines), 16)
    after = read_dataset(write(folder, "file,label", ["images/59.jpg,1", *lines]), 16)
    for part in ("training", "validation", "test"):
        assert set(getattr(after, part).files) >= set(getattr(before, part).files)


@pytest.mark.parametrize(
    ("header", "line", "said"),
    [
        ("image,label", "a.jpg,cat", r"has no column `file` \(found: image, label\); a CSV has a column `file` and"),
        ("file", "a.jpg", "has no column of labels"),
        ("file;label", "a.jpg;cat", "separated by commas, not semicolons"),
        ("file,label,labels", "a.jpg,cat,cat", "has `label`, `labels`, and one form only"),
        ("file,label,colour", "a.jpg,cat,red", "has `label`, `colour`, and one form only"),
        ("file,cat,cat", "a.jpg,1,0", "names a column twice"),
        ("file,cat,dog", "a.jpg,1,2", "line 2, column dog: '2' is neither 0 nor 1; a CSV has"),
        ("file,cat,dog", "a.jpg,1,", "line 2, column dog: '' is neither 0 nor 1"),
        ("file,label", "a.jpg,", "line 2 has no label"),
        ("file,label", ",cat", "line 2 names no file"),
        ("file,label", "a.jpg", "line 2 has not the 2 columns"),
        ("file,label", "a.jpg,cat,dog", "line 2 has not the 2 columns"),
        ("file,label,split", "a.jpg,cat,training set", "line 2: the split 'training set' is none of"),
        ("file,label", "a.jpg,cat\na.jpg,dog", r"line 3 names a\.jpg, as line 2 does"),
        ("file,label", "a.jpg,cat", "needs two classes; found cat"),
        ("file,label,split", "a.jpg,cat,train\nb.jpg,dog,train", "needs train and test, or train and val"),
        ("file,label,split", "a.jpg,cat,train\nb.jpg,dog,test", "no image to train on in dog"),
        ("file,label", 'a.jpg,"cat', "cannot be read"),
    ],
)
def test_every_other_form_is_said_with_its_line(tmp_path: Path, header: str, line: str, said: str):
    with pytest.raises(JobError, match=said):
        read_dataset(write(tmp_path, header, [line]), 16)


def test_its_hash_is_that_of_the_csv_and_a_missing_one_is_named(folder: Path):
    name = write(folder, "file,label", ["a.jpg,cat"])
    before = dataset_hash(name)
    dataset_hash.cache_clear()
    assert len(before) == 12
    check_dataset(name)
    with pytest.raises(UsageError, match=r"csv:none\.csv: no such file"):
        check_dataset("csv:none.csv")


def test_a_listed_file_that_is_not_there_is_named_when_it_is_decoded(folder: Path):
    lines = [f"images/{number}.jpg,{number % 2}" for number in range(59)] + ["images/missing.jpg,0"]
    dataset = read_dataset(write(folder, "file,label", lines), 16)
    for split in (dataset.training, dataset.validation, dataset.test):
        for index, file in enumerate(split.files):
            if file.name == "missing.jpg":
                with pytest.raises(JobError, match=r"images/missing\.jpg: cannot be decoded"):
                    split.batch(np.array([index]))
                return
    raise AssertionError("the missing file is in no split")
