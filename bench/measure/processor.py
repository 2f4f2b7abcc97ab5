"""The processor's readings: load of the machine and of the job, clock, temperature, context switches, energy."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure.telemetry import Reading

_TICKS = os.sysconf("SC_CLK_TCK")
_SYSTEM = Path("/sys")
_PROCESSES = Path("/proc")
_ALWAYS = ("cpu_busy_cpus", "cpu_job_cpus", "cpu_context_switches_per_second", "cpu_load_average")


class Processor:
    """Reads the processor; `jobs` returns the process ids of the jobs, none while there is none.

    cpu_busy_cpus: how many logical processors were busy since the last sample; cpu_job_cpus: of these, with the jobs and
    their children. cpu_energy_joules: RAPL's counters of all packages, a wrap of any of them added.
    """

    def __init__(self, jobs: Callable[[], list[int]], system: Path = _SYSTEM, processes: Path = _PROCESSES) -> None:
        self.missing: dict[str, str] = {}
        self._jobs = jobs
        self._processes = processes
        self._clocks = sorted(system.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
        self._zones = sorted(system.glob("class/thermal/thermal_zone*/temp"))
        self._zones += sorted(system.glob("class/hwmon/hwmon*/temp*_input"))
        self._packages = [Package(folder) for folder in sorted(system.glob("class/powercap/*-rapl:[0-9]"))]
        self._before: dict[str, float] = {}
        self._moment = time.perf_counter()
        self._readings: dict[str, Callable[[], float | None]] = {
            "cpu_mhz": self._mhz,
            "cpu_celsius": self._celsius,
            "cpu_energy_joules": self._energy,
        }
        for name, read in list(self._readings.items()):
            try:
                read()
            except OSError as error:
                self.missing[name] = str(error)
                del self._readings[name]
        self.names = (*_ALWAYS, *self._readings)

    def read(self) -> Reading:
        now = time.perf_counter()
        passed, self._moment = now - self._moment, now
        found: Reading = {
            "cpu_busy_cpus": self._rate("busy", self._busy_seconds(), passed),
            "cpu_job_cpus": self._rate("job", self._job_seconds(), passed),
            "cpu_context_switches_per_second": self._rate("switches", self._context_switches(), passed),
            "cpu_load_average": float((self._processes / "loadavg").read_text().split()[0]),
        }
        for name, read in self._readings.items():
            try:
                found[name] = read()
            except OSError:
                found[name] = None
        return found

    def _rate(self, name: str, total: float | None, passed: float) -> float | None:
        """Return the growth a second of a counter since it was last asked for; None the first time, or where it fell."""
        before = self._before.pop(name, None)
        if total is not None:
            self._before[name] = total
        if total is None or before is None or total < before or passed <= 0:
            return None
        return (total - before) / passed

    def _busy_seconds(self) -> float:
        fields = (self._processes / "stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, interrupt, soft, steal = (int(field) for field in fields[:8])
        return (user + nice + system + interrupt + soft + steal) / _TICKS

    def _context_switches(self) -> float | None:
        lines = (self._processes / "stat").read_text().splitlines()
        return next((float(line.split()[1]) for line in lines if line.startswith("ctxt")), None)

    def _job_seconds(self) -> float | None:
        """Return the processor time of the jobs, their children and those of theirs that have ended."""
        jobs = self._jobs()
        return sum(seconds for job in jobs for seconds in self._process_seconds(job)) if jobs else None

    def _process_seconds(self, process: int) -> Iterator[float]:
        folder = self._processes / str(process)
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            children = (folder / "task" / str(process) / "children").read_text().split()
        except OSError:  # It has ended meanwhile.
            return
        yield sum(map(int, fields[11:15])) / _TICKS
        for child in children:
            yield from self._process_seconds(int(child))

    def _mhz(self) -> float | None:
        if self._clocks:
            return sum(int(file.read_text()) for file in self._clocks) / len(self._clocks) / 1000
        lines = (self._processes / "cpuinfo").read_text().splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        if not found:
            raise OSError("the system tells no clock")
        return sum(found) / len(found)

    def _celsius(self) -> float | None:
        if not self._zones:
            raise OSError("the system has no thermal zone that can be read")
        return max(int(file.read_text()) for file in self._zones) / 1000

    def _energy(self) -> float | None:
        if not self._packages:
            raise OSError("no RAPL: there is no powercap here, as in most containers and virtual machines")
        return sum(package.joules() for package in self._packages)


class Package:
    """One package's energy counter, which begins anew at its range."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: int | None = None
        self._wraps = 0

    def joules(self) -> float:
        """Return the joules since some beginning; never less than before."""
        now = int((self._folder / "energy_uj").read_text())
        if self._last is not None and now < self._last:
            self._wraps += 1
        self._last = now
        return (now + self._wraps * int((self._folder / "max_energy_range_uj").read_text())) / 1e6
