"""Joules of a window whose truth is known, and a reason where there are none."""

import pytest

from bench.measure.energy import Energy, energy
from bench.measure.telemetry import Telemetry

BEGUN, IDLE = 100.0, 2.0


def telemetry(**series: list[float | None]) -> Telemetry:
    """Return half-second samples from 100 s on, the first two seconds of them before the job."""
    count = len(next(iter(series.values())))
    return Telemetry(
        begun_seconds=BEGUN,
        idle_seconds=IDLE,
        elapsed_seconds=tuple(number / 2 for number in range(count)),
        series={name: tuple(values) for name, values in series.items()},
        missing={} if "gpu_energy_joules" in series else {"gpu_energy_joules": "NVML: Not Supported"},
        cost_seconds=0.0,
    )


def counter(idle_watts: float, watts: float) -> list[float | None]:
    moments = [number / 2 for number in range(41)]
    return [1e6 + idle_watts * min(t, IDLE) + watts * max(0.0, t - IDLE) for t in moments]


STEADY = counter(50, 300)
POWER: list[float | None] = [50.0] * 5 + [300.0] * 36


def test_a_counter_gives_gross_and_net_of_the_idle_power_before():
    found = energy(telemetry(gpu_energy_joules=counter(50, 300)), "gpu", BEGUN + 4.25, 12.0)
    assert found == Energy(gross_joules=pytest.approx(3600), net_joules=pytest.approx(3000), method="counter")


@pytest.mark.parametrize(
    "broken",
    [
        [1e6] * 41,
        [*STEADY[:20], *[5.0] * 21],
        [*STEADY[:20], STEADY[19], *STEADY[21:]],
        [*STEADY[:20], *[STEADY[19]] * 21],
        [None] * 41,
    ],
    ids=["stands still", "begins anew", "stops for a moment", "stops for good", "never read"],
)
def test_a_broken_counter_gives_way_to_sampled_power_and_says_so(broken: list[float | None]):
    found = energy(telemetry(gpu_energy_joules=broken, gpu_watts=POWER), "gpu", BEGUN + 4.25, 12.0)
    assert found == Energy(gross_joules=pytest.approx(3600), net_joules=pytest.approx(3000), method="sampled power")


@pytest.mark.parametrize("before", [[STEADY[0]] * 5, [STEADY[0] + 1e5, *STEADY[1:5]]], ids=["stands still", "wraps"])
def test_a_counter_broken_before_the_job_gives_gross_and_no_net(before: list[float | None]):
    found = energy(telemetry(gpu_energy_joules=[*before, *STEADY[5:]]), "gpu", BEGUN + 4.25, 12.0)
    assert found == Energy(gross_joules=pytest.approx(3600), net_joules=None, method="counter")


def test_without_any_sensor_there_is_the_reason_and_never_a_zero():
    assert energy(telemetry(gpu_celsius=[40.0] * 41), "gpu", BEGUN + 4, 12.0) == "NVML: Not Supported"
    assert "stood still" in str(energy(telemetry(gpu_energy_joules=[1e6] * 41), "gpu", BEGUN + 4, 12.0))
    assert energy(telemetry(gpu_celsius=[40.0] * 41), "cpu", BEGUN + 4, 12.0) == "it was not sampled"


def test_a_window_is_long_enough_and_within_the_samples():
    held = telemetry(gpu_energy_joules=counter(50, 300))
    assert "too short" in str(energy(held, "gpu", BEGUN + 4, 9.0))
    assert not isinstance(energy(held, "gpu", BEGUN + 15, 12.0), Energy), "the samples end before the window does"


def test_without_a_rest_before_the_job_there_is_no_net():
    held = telemetry(gpu_energy_joules=counter(50, 300))
    alone = type(held)(**{name: getattr(held, name) for name in held.__struct_fields__} | {"idle_seconds": 0.0})
    found = energy(alone, "gpu", BEGUN + 4, 12.0)
    assert isinstance(found, Energy)
    assert found.net_joules is None
