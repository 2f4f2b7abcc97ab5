"""Parity as two tables: the traits side by side, and the differences with what the cards say of them."""

from collections.abc import Sequence

from bench.plan.cards import model_card
from bench.report.format import NOTHING
from bench.report.table import Table
from bench.run.parity import Built, Difference

_TRAITS = {
    "parameters": "Parameters",
    "flops": "FLOPs an image",
    "outputs": "Outputs",
    "pixels": "Black, white become",
    "published_pixels": "… before published weights",
    "batch_norm_epsilon": "BN epsilon",
    "batch_norm_momentum": "BN newest weight",
    "dropout": "Dropout",
}
UNDECLARED = "NOT DECLARED on the card"
UNTRUE = "declared, and NOT SO"


def tables(built: Sequence[Built], differences: Sequence[Difference]) -> tuple[Table, ...]:
    """Return the traits of everything built, and every difference from the first framework of its architecture."""
    rows = tuple((*_names(one), *(_value(getattr(one.traits, trait, None)) for trait in _TRAITS)) for one in built)
    failed = tuple((*_names(one), one.reason or "") for one in built if one.traits is None)
    found = tuple(
        (*_names(one.built), _TRAITS[one.trait], *map(_value, one.values), one.reference.framework, _said(one))
        for one in differences
    )
    names = ("Architecture", "Framework")
    every = (
        Table(title="Traits", columns=(*names, *_TRAITS.values()), labels=2, rows=rows, notes=(_NOTE,)),
        Table(
            title="Differences", columns=(*names, "Trait", "Here", "There", "In", "The card says"), labels=3, rows=found
        ),
        Table(title="Not built", columns=(*names, "Reason"), labels=2, rows=failed),
    )
    return tuple(table for table in every if table.rows)


def _names(built: Built) -> tuple[str, str]:
    return model_card(built.architecture).title, built.framework


def _said(difference: Difference) -> str:
    if difference.differs:
        return difference.declared or UNDECLARED
    return f"{UNTRUE}: {difference.declared}"


def _value(value: object) -> str:
    if value is None or value == ():
        return NOTHING
    if isinstance(value, tuple):
        return ", ".join(f"{one:g}" for one in value)
    return f"{value:,}"


_NOTE = (
    "As built for 10 classes. Black, white become: pixels of 0 and of 255, red, green, blue, as the untrained network gets "
    "them, and as one with the weights on the card does. Dropout: the largest rate, stochastic depth included. The batch "
    "normalisation's newest weight is the library's own; a recipe may set another."
)
