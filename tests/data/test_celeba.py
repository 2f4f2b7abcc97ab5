"""CelebA: attributes and parts in two lists; 1 and -1 become 1 and 0."""

from pathlib import Path

import pytest

from bench.data.read import read_dataset
from bench.errors import JobError


@pytest.fixture
def celeba(data_cache: Path, write_image) -> Path:
    folder = data_cache / "celeba"
    for number in range(1, 6):
        write_image(folder / "images" / "img_align_celeba" / f"{number:06d}.jpg", 10 * number)
    rows = ["000001.jpg -1  1", "000002.jpg  1  1", "000003.jpg -1 -1", "000004.jpg  1 -1", "000005.jpg -1  1"]
    (folder / "list_attr_celeba.txt").write_text("5\nBald Smiling \n" + "\n".join(rows) + "\n")
    parts = ["000001.jpg 0", "000002.jpg 0", "000003.jpg 1", "000004.jpg 2", "000005.jpg 2"]
    (folder / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return folder


def test_attributes_and_parts(celeba: Path, levels):
    dataset = read_dataset("celeba", 16)
    assert dataset.classes == ("Bald", "Smiling")
    assert dataset.training.labels.tolist() == [[0, 1], [1, 1]]
    assert dataset.validation.labels.tolist() == [[0, 0]]
    assert dataset.test.labels.tolist() == [[1, 0], [0, 1]]
    assert levels(dataset.test) == [40, 50]


@pytest.mark.parametrize(
    ("name", "left_out", "said"),
    [
        ("attr_celeba", 18, "says 5 images and lists 4"),
        ("attr_celeba", 4, "says 5 images and lists 4"),
        ("attr_celeba", None, "says 0 images and lists 0"),
        ("eval_partition", 13, r"has no split for 000005\.jpg, one of 1"),
        ("eval_partition", 2, r"has no split for 000005\.jpg, one of 1"),
        ("eval_partition", None, r"has no split for 000001\.jpg, one of 5"),
    ],
)
def test_a_list_cut_short_is_said(celeba: Path, name: str, left_out: int | None, said: str):
    file = celeba / f"list_{name}.txt"
    file.write_text(file.read_text()[:-left_out] if left_out else "")
    with pytest.raises(JobError, match=rf"list_{name}\.txt: {said}.*cut short"):
        read_dataset("celeba", 16)
