"""What can be named on the command line."""

from collections.abc import Callable

import msgspec

from bench.data.cache import missing
from bench.export import FORMATS
from bench.export.find import find
from bench.frameworks import FRAMEWORKS, missing_packages
from bench.measure.statistics import FEWEST_FOR_INTERVAL
from bench.plan.cards import DatasetCard, dataset_card, dataset_names, model_card, model_names
from bench.plan.cell import PRECISIONS
from bench.plan.matrix import matrix_names, matrix_path, read_matrix
from bench.plan.protocol import PRESETS, Protocol
from bench.plan.recipe import recipe, recipe_names
from bench.report.format import NOTHING, number
from bench.report.table import Table


def models() -> Table:
    """Return the architectures with a card."""
    rows = []
    for name in model_names():
        card = model_card(name)
        published = card.published
        rows.append(
            (
                name,
                card.title,
                ", ".join(card.frameworks),
                number(published.parameters / 1e6 if published else None),
                number(published.top1_percent if published else None),
                str(card.image_size),
                published.source if published else NOTHING,
            )
        )
    columns = ("Name", "Title", "Frameworks", "Parameters, M", "Published top-1, %", "Image px", "Published by")
    note = "Any other timm model is named timm/NAME, globs allowed: --architectures 'timm/convnextv2*'."
    return Table(title="Models", columns=columns, labels=1, rows=tuple(rows), notes=(note,))


def datasets() -> Table:
    cards = [(name, dataset_card(name)) for name in dataset_names()]
    return Table(
        title="Data sets",
        columns=("Name", "Title", "License", "Labels", "State", "Classes", "Images"),
        labels=1,
        rows=tuple(
            (
                name,
                card.title,
                card.license,
                "several" if card.several_labels else "one",
                _state(name, card),
                str(card.classes),
                f"{card.images:,}",
            )
            for name, card in cards
        ),
        notes=(
            "A folder with one sub-folder a class, or with train, val and test, is named folder:PATH; a CSV of labels csv:PATH.",
            "Who made each, and where it comes from, stands in datasets/NAME.toml and docs/datasets.md.",
        ),
    )


def _state(name: str, card: DatasetCard) -> str:
    if not card.files:
        return "comes with the installation"
    lacking = missing(name, card)
    if not lacking:
        return "on this machine"
    return "to be fetched by hand" if any(file.url is None for file in lacking) else f"bench download {name}"


def frameworks() -> Table:
    rows = []
    for name, framework in FRAMEWORKS.items():
        missing = missing_packages(name)
        state = f"missing {', '.join(missing)}: {framework.install}" if missing else "installed"
        rows.append((name, state, *(", ".join(framework.precisions.get(kind, ())) or "–" for kind in ("cpu", "cuda"))))
    columns = ("Name", "State", "Precisions on the CPU", "Precisions on CUDA")
    return Table(title="Frameworks", columns=columns, labels=1, rows=tuple(rows))


def precisions() -> Table:
    return Table(title="Precisions", columns=("Name", "Meaning"), labels=1, rows=tuple(PRECISIONS.items()))


def matrices() -> Table:
    rows = tuple((name, read_matrix(matrix_path(name)).description) for name in matrix_names())
    return Table(title="Matrices", columns=("Name", "What it measures"), labels=1, rows=rows)


def recipes() -> Table:
    """Return the recipes that ship: what each is for, and for which labels."""
    rows = tuple(
        (name, "several" if recipe(name).several_labels else "one", recipe(name).description) for name in recipe_names()
    )
    note = "Each is a TOML file; one of your own is given by its path, ending in .toml."
    return Table(title="Recipes", columns=("Name", "Labels", "What it does"), labels=3, rows=rows, notes=(note,))


def protocols() -> Table:
    """Return the presets, one a column, in every value."""
    presets = {name: msgspec.to_builtins(protocol) for name, protocol in PRESETS.items()}
    fields = [field for field in Protocol.__struct_fields__ if field != "preset"]
    for name, protocol in PRESETS.items():
        if protocol.processes_at_most < FEWEST_FOR_INTERVAL:
            presets[name]["tolerance"] = NOTHING
    rows = tuple((field, *(_value(values[field]) for values in presets.values())) for field in fields)
    notes = (
        "A matrix names one or starts from one; --protocol NAME takes another in its place.",
        f"No tolerance: fewer than {FEWEST_FOR_INTERVAL} processes give no interval that could be within it.",
    )
    return Table(title="Protocols", columns=("Value", *presets), labels=1, rows=rows, notes=notes)


def _value(value: float | str | None) -> str:
    return "all cores" if value is None else value if isinstance(value, str) else f"{value:g}"


def formats() -> Table:
    """Return the formats that models are exported to."""
    found = [(name, find(name)) for name in FORMATS]
    return Table(
        title="Formats",
        columns=("Name", "Run by", "Precision", "Made from models of", "Batch"),
        labels=5,
        rows=tuple(
            (name, one.runtime, one.precision, ", ".join(one.exporters), "one, fixed" if one.static else "any")
            for name, one in found
        ),
    )


LISTINGS: dict[str, Callable[[], Table]] = {
    "models": models,
    "datasets": datasets,
    "frameworks": frameworks,
    "precisions": precisions,
    "matrices": matrices,
    "recipes": recipes,
    "protocols": protocols,
    "formats": formats,
}
