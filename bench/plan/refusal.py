"""Refusals: why a cell cannot be measured here, known without starting a process."""

from bench.errors import Status
from bench.frameworks import FRAMEWORKS, missing_packages
from bench.plan.cards import framework_model, model_card
from bench.plan.cell import Cell


def refusal(cell: Cell) -> tuple[Status, str] | None:
    """Return the status and the reason of a cell with nothing to import, or nothing to run; None where neither is known."""
    name, device = cell.framework, cell.device.partition(":")[0]
    framework = FRAMEWORKS[name]
    missing = missing_packages(name)
    if missing:
        return "unavailable", f"{', '.join(missing)} not installed: {framework.install}"
    if device not in framework.precisions:
        return "unsupported", f"{name} does not run on {device}"
    if cell.precision not in framework.precisions[device]:
        return "unsupported", f"{name} has no {cell.precision} on {device}"
    if cell.execution not in framework.executions:
        return "unsupported", f"{name} has no execution {cell.execution}"
    if framework.any_architecture:
        return None
    if framework_model(cell.architecture, name) is None:
        return "unsupported", f"the card of {cell.architecture} names no model in {name}"
    least = model_card(cell.architecture).minimum_image_size
    if cell.image_size < least:
        return "unsupported", f"{cell.architecture} takes images of {least} px or more"
    return None
