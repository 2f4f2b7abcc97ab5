"""The house rules that a machine can check."""

import ast
import re
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT

PACKAGE = CHECKOUT / "bench"
FILES = sorted(PACKAGE.rglob("*.py"))
AT_HOME = {"frameworks", "export"}
FRAMEWORK_NAMES = re.compile(r"\b(torch|torchvision|timm|tensorflow|keras|jax|onnx|onnxruntime)\b", re.IGNORECASE)


def strings_and_names(file: Path) -> list[str]:
    """Return identifiers and strings of a file, docstrings left out."""
    tree = ast.parse(file.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docstrings:
            found.append(node.value)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return found


# Where a name is not a framework spoken to, but a fact told: versions that stand in a record, lines to type.
ALLOWED = {
    "records/environment.py": {
        *("torch", "torchvision", "timm", "keras", "tensorflow", "jax", "onnx", "onnxruntime", "onnxscript"),
    },
    "report/doctor.py": {"onnx", "onnxruntime", "torch", "keras", "jax"},
    "report/listing.py": {"timm"},
    "plan/cards.py": {"timm"},
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_framework_names_stay_at_home(file: Path):
    place = file.relative_to(PACKAGE)
    if place.parts[0] in AT_HOME:
        return
    named = {name.lower() for text in strings_and_names(file) for name in FRAMEWORK_NAMES.findall(text)}
    assert named <= ALLOWED.get(str(place), set())


def test_no_two_files_import_each_other():
    imports: dict[str, set[str]] = {}
    for file in FILES:
        module = ".".join(file.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
        imports[module] = set()
        tree = ast.parse(file.read_text())
        guarded = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and id(node) not in guarded:
                imports[module] |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    for module, found in imports.items():
        for other in found & imports.keys():
            assert module not in imports[other], f"{module} and {other} import each other"


def test_folders_of_cards_hold_no_python():
    for kind in ("models", "datasets"):
        assert {file.suffix for file in (CHECKOUT / kind).rglob("*") if file.is_file()} == {".toml"}


def test_every_measurement_framework_and_format_in_the_tables_exists():
    from bench.export import FORMATS
    from bench.frameworks import FRAMEWORKS
    from bench.measure import MEASUREMENTS

    entries = [entry for f in FRAMEWORKS.values() for entry in (f.build, f.catalogue) if entry]
    for entry in [*entries, *MEASUREMENTS.values()]:
        module, _, name = entry.partition(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))
    for module in FORMATS.values():
        __import__(module)
        assert callable(sys.modules[module].FORMAT.answer)
