"""What the guides show as code runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import CHECKOUT

from bench.frameworks.fake import FAULTS
from bench.plan.cards import DatasetCard, dataset_card, dataset_names


def guide_to_datasets() -> str:
    """Return what docs/datasets.md says of each data set, from the cards."""
    rows = [
        "| name | what it is | labels | classes | images | to download | licence |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    facts = []
    for name in dataset_names():
        card = dataset_card(name)
        labels = "several" if card.several_labels else "one"
        cells = (name, card.title, labels, f"{card.classes:,}", f"{card.images:,}", size(card), card.license)
        rows.append(f"| {' | '.join(cells)} |")
        checksums = f" Checksums: {card.checksums}." if card.checksums else ""
        facts.append(f"- **{name}**: [{card.source}]({card.url}). Splits: {card.splits}.{checksums}")
    return "\n".join([*rows, "", *facts])


def size(card: DatasetCard) -> str:
    if not card.files:
        return "nothing"
    known = sum(file.bytes or 0 for file in card.files) / 1e6
    told = f"{known:,.0f} MB" if known else "size not published"
    return f"{told}, by hand" if any(file.url is None for file in card.files) else told


def test_the_guide_to_data_sets_says_what_the_cards_say():
    written = (CHECKOUT / "docs" / "datasets.md").read_text()
    found = re.search(r"<!-- cards -->\n(.*?)\n<!-- /cards -->", written, re.DOTALL)
    assert found, "docs/datasets.md has lost its markers"
    assert found[1] == guide_to_datasets()


def test_the_guide_names_every_fake_model():
    written = (CHECKOUT / "docs" / "extending.md").read_text()
    assert set(re.findall(r"`fake/([a-z-]+)`", written)) == set(FAULTS)


def test_the_guide_to_keras_trains_a_network_and_both_ways_of_writing_it_agree(tmp_path: Path):
    blocks = re.findall(
        r"^```python\n(.*?)^```", (CHECKOUT / "docs" / "keras.md").read_text(), re.DOTALL | re.MULTILINE
    )
    program = tmp_path / "guide.py"
    program.write_text("\n\n".join(blocks))
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "KERAS_BACKEND": "tensorflow"}
    ran = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    functional, sequential = (float(found) for found in re.findall(r"(\d+\.\d)% of the test images", ran.stdout))
    assert functional > 85
    assert sequential == functional
