"""What the guides show as code runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import CHECKOUT


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
