"""Parity: every architecture built in every framework that has it, each in a process of its own, and held side by side."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.frameworks import FRAMEWORKS, missing_packages
from bench.measure import PARITY
from bench.plan.cards import framework_model, model_card
from bench.plan.cell import Cell, Job
from bench.plan.protocol import Protocol
from bench.plan.recipe import recipe_for
from bench.records.record import Outcome, Traits
from bench.run.launcher import Launcher


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """One architecture in one framework: its traits, or why there are none; and what its card declares of them."""

    architecture: str
    framework: str
    traits: Traits | None
    reason: str | None
    declared: dict[str, str]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A trait that differs from the reference or is declared to."""

    built: Built
    reference: Built
    trait: str

    @property
    def differs(self) -> bool:
        here, there = self.values
        return here != there

    @property
    def declared(self) -> str | None:
        return self.built.declared.get(self.trait)

    @property
    def wrong(self) -> bool:
        """Whether it differs without being declared, or is declared and does not."""
        return not (self.differs and self.declared)

    @property
    def values(self) -> tuple[object, object]:
        """What the trait is here and in the reference."""
        return getattr(self.built.traits, self.trait), getattr(self.reference.traits, self.trait)


def build_all(architectures: Sequence[str], launcher: Launcher, begin: Callable[[str, str], None]) -> list[Built]:
    """Build every architecture in every framework that its card names, and say before each which it is."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for framework in FRAMEWORKS:
            for architecture in architectures:
                model = framework_model(architecture, framework)
                if model is None:
                    continue
                begin(architecture, framework)
                outcome = (
                    _missing(framework) or launcher.launch(_job(architecture, framework), Path(folder) / "log").outcome
                )
                found.append(_built(architecture, framework, model.differences, outcome))
    return found


def _missing(framework: str) -> Outcome | None:
    if not missing_packages(framework):
        return None
    return Outcome(status="unavailable", reason=f"not installed: {FRAMEWORKS[framework].install}")


def differences(built: Sequence[Built]) -> Iterator[Difference]:
    """Compare each with the first framework that its card names, in the order of the table of frameworks.

    Where that one was not built, there is nothing to compare with.
    """
    found = {(one.architecture, one.framework): one for one in built}
    for one in built:
        named = next(name for name in FRAMEWORKS if framework_model(one.architecture, name))
        first = found.get((one.architecture, named))
        if one.traits is None or first is None or first.traits is None:
            continue
        for trait in Traits.__struct_fields__:
            difference = Difference(built=one, reference=first, trait=trait)
            if difference.differs or difference.declared:
                yield difference


def _job(architecture: str, framework: str) -> Job:
    """Return the job that reads the traits: at the card's own size, and with the library's own batch normalisation."""
    cell = Cell(
        architecture=architecture,
        framework=framework,
        precision="fp32",
        execution="eager",
        device="cpu",
        batch_size=2,
        image_size=model_card(architecture).image_size,
        dataset="digits",
        weights="random",
        recipe="baseline",
    )
    return Job(
        cell=cell,
        measurement=PARITY,
        process=0,
        seed=0,
        protocol=Protocol(),
        recipe=msgspec.structs.replace(recipe_for(cell.recipe, architecture), batch_norm_momentum=None),
        model=framework_model(architecture, framework),
    )


def _built(architecture: str, framework: str, declared: dict[str, str], outcome: Outcome) -> Built:
    return Built(
        architecture=architecture,
        framework=framework,
        traits=outcome.figures if isinstance(outcome.figures, Traits) else None,
        reason=outcome.reason,
        declared=declared,
    )
