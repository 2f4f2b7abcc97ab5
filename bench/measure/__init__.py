"""The measuring: a literal table of measurements. Nothing here knows a framework's name."""

from bench.export import FORMATS

PROBE = "batch_size"
PARITY = "parity"
CEILINGS = "ceilings"
EXPORTS: dict[str, str] = {f"export:{name}": "bench.export.measure:measure" for name in FORMATS}
MEASUREMENTS: dict[str, str] = {
    "build": "bench.measure.build:measure",
    "training": "bench.measure.training:measure",
    "accuracy": "bench.measure.accuracy:measure",
    "inference": "bench.measure.inference:measure",
    "memory": "bench.measure.memory:measure",
    **EXPORTS,
}
# Not for a matrix to name: the runner asks to find a batch size and the device's limits, `bench doctor` to compare libraries.
PROBES: dict[str, str] = {
    PROBE: "bench.measure.batch_size:measure",
    PARITY: "bench.measure.parity:measure",
    CEILINGS: "bench.measure.ceilings:measure",
}
