"""Telemetry reads what is there, says why the rest is not, and forgets nothing but detail."""

import os
import time
from pathlib import Path

import pytest

from bench.measure import telemetry as module
from bench.measure.processor import Processor
from bench.measure.telemetry import Reading, Sampler, Telemetry, at


class Counting:
    """A reader whose value is how often it was asked; it fails when asked for the third time."""

    def __init__(self) -> None:
        self.names = ("times",)
        self.missing = {"other": "not here"}
        self.times = 0

    def read(self) -> Reading:
        self.times += 1
        return {"times": None if self.times == 3 else float(self.times)}


def sampled(seconds: float, interval: float) -> Telemetry:
    with Sampler([Counting()], interval) as sampler:
        time.sleep(seconds / 2)
        sampler.job_begins()
        time.sleep(seconds / 2)
    return sampler.telemetry()


def test_samples_come_in_order_with_their_times_and_holes():
    found = sampled(0.3, 0.02)
    values = found.series["times"]
    assert values[:4] == (1.0, 2.0, None, 4.0)
    assert len(values) == len(found.elapsed_seconds) > 8
    assert found.missing == {"other": "not here"}
    assert [value for _, value in found.known("times")] == [value for value in values if value is not None]
    assert found.idle("times")[0] == 1.0
    assert len(found.idle("times")) < len(values) - 2
    assert 0 < found.cost_seconds < 0.1


def test_a_long_job_keeps_its_whole_length_in_fewer_samples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_SAMPLES", 10)
    found = sampled(0.5, 0.005)
    assert len(found.elapsed_seconds) <= 11 + len(found.idle("times"))
    assert found.elapsed_seconds[0] < 0.01
    assert found.elapsed_seconds[-1] > 0.35


def test_what_was_sampled_before_a_long_job_all_stays(monkeypatch: pytest.MonkeyPatch):
    """Net energy stands on it, and was None for every job of more than five minutes."""
    monkeypatch.setattr(module, "MOST_SAMPLES", 4)
    with Sampler([Counting()], 0.01) as sampler:
        while len(sampler._times) < 3:
            time.sleep(0.001)
        sampler.job_begins()
        while sampler._interval < 0.04:
            time.sleep(0.001)
    assert sampler.telemetry().idle("times")[:2] == [1.0, 2.0]


def test_a_value_between_two_samples_lies_on_their_line_and_outside_there_is_none():
    samples = [(1.0, 10.0), (2.0, 30.0)]
    assert [at(samples, moment) for moment in (0.9, 1.0, 1.5, 2.0, 2.1)] == [None, 10.0, 20.0, 30.0, None]
    assert at([], 1.0) is None


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the /sys of a machine with a clock, a temperature, two packages, a part of one and the whole of both."""
    for name, text in {
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2000000",
        "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "3000000",
        "class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
        "class/thermal/thermal_zone0/temp": "41000",
        "class/thermal/thermal_zone1/type": "acpitz\n",
        "class/thermal/thermal_zone1/temp": "99000",
        "class/hwmon/hwmon0/name": "coretemp\n",
        "class/hwmon/hwmon0/temp1_input": "42000",
        "class/hwmon/hwmon0/temp2_input": "not this one",
        "class/hwmon/hwmon1/name": "nvme\n",
        "class/hwmon/hwmon1/temp1_input": "70000",
        "class/powercap/intel-rapl:0/name": "package-0\n",
        "class/powercap/intel-rapl:0/energy_uj": "5000000",
        "class/powercap/intel-rapl:0/max_energy_range_uj": "9000000",
        "class/powercap/intel-rapl:1/name": "package-1\n",
        "class/powercap/intel-rapl:1/energy_uj": "1000000",
        "class/powercap/intel-rapl:1/max_energy_range_uj": "9000000",
        "class/powercap/intel-rapl:0:0/name": "core\n",
        "class/powercap/intel-rapl:0:0/energy_uj": "777000000",
        "class/powercap/intel-rapl:2/name": "psys\n",
        "class/powercap/intel-rapl:2/energy_uj": "9000000",
        "class/powercap/intel-rapl:2/max_energy_range_uj": "9000000",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_processor_tells_clock_temperature_and_the_energy_of_its_packages(machine: Path):
    found = Processor(list, system=machine)
    reading = found.read()
    assert (reading["cpu_mhz"], reading["cpu_celsius"], reading["cpu_energy_joules"]) == (2500.0, 42.0, 6.0)
    assert found.missing == {}


def test_a_disks_heat_is_not_the_processors(machine: Path):
    for name in ("class/thermal/thermal_zone0", "class/hwmon/hwmon0"):
        for file in (machine / name).iterdir():
            file.unlink()
    found = Processor(list, system=machine)
    assert "cpu_celsius" not in found.read()
    assert "processor's temperature" in found.missing["cpu_celsius"]


def test_a_counter_that_wraps_goes_on_from_where_it_was(machine: Path):
    found = Processor(list, system=machine)
    assert found.read()["cpu_energy_joules"] == 6.0
    (machine / "class/powercap/intel-rapl:0/energy_uj").write_text("2000000")
    assert found.read()["cpu_energy_joules"] == 6.0 + (9 - 5 + 2)


def test_what_cannot_be_read_is_missing_with_the_reason(machine: Path, tmp_path: Path):
    (machine / "class/powercap/intel-rapl:0/energy_uj").unlink()
    found = Processor(list, system=machine)
    assert "energy_uj" in found.missing["cpu_energy_joules"], "as where only root may read it"
    assert "cpu_energy_joules" not in found.read()
    bare = Processor(list, system=tmp_path / "container")
    assert bare.missing.keys() >= {"cpu_celsius", "cpu_energy_joules"}
    assert "no RAPL" in bare.missing["cpu_energy_joules"]


@pytest.fixture
def processes(tmp_path: Path) -> Path:
    """Return a /proc with what the whole machine says and this process, as a kernel that lists children shows it."""
    own = str(os.getpid())
    for name in ("stat", "loadavg", f"{own}/stat", f"{own}/task/{own}/children"):
        (tmp_path / "proc" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc" / name).write_text((Path("/proc") / name).read_text())
    return tmp_path / "proc"


def test_where_the_kernel_lists_no_children_the_jobs_share_is_not_known_and_never_zero(processes: Path):
    own = os.getpid()
    found = Processor(lambda: [own], processes=processes)
    found.read()
    assert found.read()["cpu_job_cpus"] == 0.0, "the copy stands still"
    (processes / str(own) / "task" / str(own) / "children").unlink()
    assert found.read()["cpu_job_cpus"] is None
    without = Processor(lambda: [own], processes=processes)
    without.read()
    assert "cpu_job_cpus" not in without.read()
    assert "children" in without.missing["cpu_job_cpus"]


def test_a_child_that_ends_while_it_is_looked_at_makes_no_jump(processes: Path):
    """Its parent was read before it had the child's time, and the child when it was gone; the reading after was far too high."""
    own, tick = str(os.getpid()), os.sysconf("SC_CLK_TCK")

    def write(seconds: float) -> None:
        fields = (processes / own / "stat").read_text().rpartition(")")
        values = fields[2].split(" ")
        values[12:16] = [str(round(seconds * tick)), "0", "0", "0"]
        (processes / own / "stat").write_text(f"{fields[0]}){' '.join(values)}")

    totals = iter((10.0, 10.0, 10.0, 4.0))  # Asked for once at the beginning, and twice a reading.

    def jobs() -> list[int]:
        write(next(totals, 11.0))
        return [int(own)]

    found = Processor(jobs, processes=processes)
    assert found.read()["cpu_job_cpus"] is None
    time.sleep(0.05)
    grown = found.read()["cpu_job_cpus"]
    assert grown is not None
    assert 0 < grown < 1 / 0.05
    assert found.read()["cpu_job_cpus"] == 0.0


def test_a_job_that_has_ended_is_a_hole(processes: Path):
    jobs = [os.getpid()]
    found = Processor(lambda: jobs, processes=processes)
    found.read()
    jobs[0] = 1 << 30
    assert found.read()["cpu_job_cpus"] is None
    assert found.read()["cpu_busy_cpus"] == 0.0


def test_a_reading_that_fails_costs_itself_and_not_the_others(processes: Path):
    found = Processor(list, processes=processes)
    (processes / "loadavg").write_text("")
    with Sampler([found], 0.01) as sampler:
        time.sleep(0.2)
    telemetry = sampler.telemetry()
    assert set(telemetry.series["cpu_load_average"]) == {None}
    assert telemetry.values("cpu_busy_cpus")
    (processes / "stat").unlink()
    bare = Processor(list, processes=processes)
    assert bare.missing.keys() >= {"cpu_load_average", "cpu_busy_cpus", "cpu_context_switches_per_second"}


def test_a_clock_that_is_no_number_is_missing(machine: Path):
    (machine / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").write_text("<unsupported>")
    assert "unsupported" in Processor(list, system=machine).missing["cpu_mhz"]


def test_a_sampling_that_ends_early_says_so():
    class Broken(Counting):
        def read(self) -> Reading:
            if self.times == 2:
                raise RuntimeError("lost")
            return super().read()

    with Sampler([Broken()], 0.01) as sampler:
        time.sleep(0.1)
    found = sampler.telemetry()
    assert found.series["times"] == (1.0, 2.0)
    assert found.missing["samples"] == "the sampling ended early: RuntimeError('lost')"


def test_the_job_and_the_rest_of_the_machine_are_told_apart():
    own = os.getpid()
    found = Processor(lambda: [own])
    found.read()
    begun, worked = time.perf_counter(), time.process_time()
    while time.process_time() - worked < 0.3:
        pass
    reading = found.read()
    share = (time.process_time() - worked) / (time.perf_counter() - begun)
    assert reading["cpu_job_cpus"] == pytest.approx(share, abs=0.1), "where others work too, it has less than all"
    assert reading["cpu_busy_cpus"] >= reading["cpu_job_cpus"] - 0.1
    assert reading["cpu_context_switches_per_second"] > 0
    assert reading["job_processes"] == 1.0
    assert Processor(list).read()["cpu_job_cpus"] is None
