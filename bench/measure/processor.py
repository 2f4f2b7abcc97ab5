"""The processor's readings: load of the machine and of the job, clock, temperature, context switches, energy."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure.telemetry import Reading

_TICKS = os.sysconf("SC_CLK_TCK")
_SYSTEM = Path("/sys")
_PROCESSES = Path("/proc")
# What reading a file of the system may raise: it is not there or may not be read, or holds no number, as a clock's
# "<unsupported>".
_UNREADABLE = (OSError, ValueError, LookupError)

# Drivers of the sensors in Intel's and AMD's processors, and Intel's thermal zone; on Arm the zones are called cpu-something.
_PROCESSOR_SENSORS = ("coretemp", "k10temp", "zenpower", "x86_pkg_temp")


class Processor:
    """Reads the processor; `jobs` returns the process ids of the jobs, none while there is none.

    cpu_busy_cpus: how many logical processors were busy since the last sample; cpu_job_cpus: of these, with the jobs and
    their children. cpu_celsius: the hottest sensor of the processor. cpu_energy_joules: RAPL's counters of all packages, a
    wrap of any of them added. job_processes: how many jobs were alive.
    """

    def __init__(self, jobs: Callable[[], list[int]], system: Path = _SYSTEM, processes: Path = _PROCESSES) -> None:
        self.missing: dict[str, str] = {}
        self._jobs = jobs
        self._processes = processes
        self._clocks = sorted(system.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
        self._thermometers = _thermometers(system)
        zones = sorted(system.glob("class/powercap/*-rapl:*"))
        self._packages = [Package(zone) for zone in zones if _is_package(zone)]
        self._before: dict[str, float] = {}
        self._moment, self._passed = time.perf_counter(), 0.0
        self._readings: dict[str, Callable[[], float | None]] = {
            "cpu_busy_cpus": lambda: self._rate("busy", self._busy_seconds),
            "cpu_job_cpus": lambda: self._rate("job", self._job_seconds),
            "cpu_context_switches_per_second": lambda: self._rate("switches", self._context_switches),
            "cpu_load_average": lambda: float((self._processes / "loadavg").read_text().split()[0]),
            "cpu_mhz": self._mhz,
            "cpu_celsius": self._celsius,
            "cpu_energy_joules": self._energy,
            "job_processes": lambda: float(len(self._jobs())),
        }
        self._find_missing()
        self.names = tuple(self._readings)

    def _find_missing(self) -> None:
        """Try every reading. There is no job yet, and so this process stands in for one."""
        for name, probe in (self._readings | {"cpu_job_cpus": lambda: self._tree_seconds(os.getpid())}).items():
            try:
                probe()
            except _UNREADABLE as error:
                self.missing[name] = str(error)
                del self._readings[name]
        self._before.clear()

    def read(self) -> Reading:
        now = time.perf_counter()
        self._passed, self._moment = now - self._moment, now
        found: Reading = {}
        for name, read in self._readings.items():
            try:
                found[name] = read()
            except _UNREADABLE:
                found[name] = None
        return found

    def _rate(self, name: str, read: Callable[[], float | None]) -> float | None:
        """Return the growth a second of a counter since it was last asked for; None the first time, or where it fell."""
        before, total = self._before.pop(name, None), read()
        if total is not None and before is not None and total < before:
            total = read()  # A child that ended between two files was in neither; by now its time is its parent's.
        if total is not None:
            self._before[name] = total
        if total is None or before is None or total < before or self._passed <= 0:
            return None
        return (total - before) / self._passed

    def _busy_seconds(self) -> float:
        fields = (self._processes / "stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, interrupt, soft, steal = (int(field) for field in fields[:8])
        return (user + nice + system + interrupt + soft + steal) / _TICKS

    def _context_switches(self) -> float:
        return float((self._processes / "stat").read_text().split("\nctxt ")[1].split()[0])

    def _job_seconds(self) -> float | None:
        jobs = self._jobs()
        return sum(map(self._tree_seconds, jobs)) if jobs else None

    def _tree_seconds(self, process: int) -> float:
        """Return the processor time of a process, its children and those of theirs that have ended.

        Raises OSError where the process has ended, or where the kernel does not list children: without theirs it is
        not the job's.
        """
        folder = self._processes / str(process)
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        seconds = sum(map(int, fields[11:15])) / _TICKS
        for child in (folder / "task" / str(process) / "children").read_text().split():
            with contextlib.suppress(OSError):  # It has ended meanwhile, and counts with its parent.
                seconds += self._tree_seconds(int(child))
        return seconds

    def _mhz(self) -> float | None:
        if self._clocks:
            return sum(int(file.read_text()) for file in self._clocks) / len(self._clocks) / 1000
        lines = (self._processes / "cpuinfo").read_text().splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        if not found:
            raise OSError("the system tells no clock")
        return sum(found) / len(found)

    def _celsius(self) -> float | None:
        found = []
        for file in self._thermometers:
            with contextlib.suppress(*_UNREADABLE):
                found.append(int(file.read_text()))
        if not found:
            raise OSError("the system has no sensor of the processor's temperature that can be read")
        return max(found) / 1000

    def _energy(self) -> float | None:
        if not self._packages:
            raise OSError("no RAPL: there is no powercap here, as in most containers and virtual machines")
        return sum(package.joules() for package in self._packages)


def _thermometers(system: Path) -> list[Path]:
    """Return the files with the processor's temperatures: the hottest thing in a machine may be a disk."""
    zones = [(zone / "type", [zone / "temp"]) for zone in sorted(system.glob("class/thermal/thermal_zone*"))]
    chips = [(chip / "name", sorted(chip.glob("temp*_input"))) for chip in sorted(system.glob("class/hwmon/hwmon*"))]
    return [file for name, files in zones + chips if _is_processor(name) for file in files]


def _is_processor(name: Path) -> bool:
    try:
        said = name.read_text().strip()
    except OSError:
        return False
    return said in _PROCESSOR_SENSORS or said.startswith("cpu")


def _is_package(zone: Path) -> bool:
    """Return whether a zone of RAPL is a package: `psys` is the whole machine, and `core` and `dram` parts of a package."""
    name = zone / "name"
    return name.exists() and name.read_text().startswith("package")


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
