"""Timing counts the steps it says it counts, and waits where it says it waits."""

import time

import pytest

from bench.measure.timing import rotating, settled, time_blocks, time_requests
from bench.plan.protocol import Protocol


class Device:
    """A device whose clock is the test's: a step is queued at once and done when waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step_seconds: float, wait_seconds: float = 0.0) -> None:
        self.now, self.queued, self.steps, self.waits = 0.0, 0, 0, 0
        self.step_seconds, self.wait_seconds = step_seconds, wait_seconds
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def step(self) -> None:
        self.queued += 1
        self.steps += 1

    def synchronize(self) -> None:
        self.waits += 1
        self.now += self.queued * self.step_seconds + (self.wait_seconds if self.queued else 0)
        self.queued = 0


def blocks(device: Device, block_seconds: float = 0.5, **changes: float):
    values = {"warmup_steps": 5, "warmup_seconds": 0.1, "warmup_at_most_seconds": 60, "blocks": 4} | changes
    return time_blocks(device.step, device.synchronize, Protocol(**values), block_seconds)


def test_the_rate_is_the_devices_and_not_the_waitings(monkeypatch: pytest.MonkeyPatch):
    device = Device(monkeypatch, step_seconds=0.002, wait_seconds=0.004)
    found = blocks(device)
    assert found.images_per_second(32) == pytest.approx(32 / 0.002, rel=0.02), "waiting is paid once a block"
    assert all(seconds >= 0.4 for seconds in found.block_seconds)


def test_both_bounds_of_the_warm_up_are_reached_and_it_is_kept(monkeypatch: pytest.MonkeyPatch):
    assert len(blocks(Device(monkeypatch, 1 / 64), warmup_seconds=0.25).warmup_step_seconds) == 16
    assert len(blocks(Device(monkeypatch, 1.0)).warmup_step_seconds) == 5


def test_a_step_longer_than_a_block_is_a_block(monkeypatch: pytest.MonkeyPatch):
    device = Device(monkeypatch, step_seconds=2.0)
    found = blocks(device)
    assert found.steps_per_block == 1
    assert device.steps == 5 + 4


def test_requests_end_with_their_number_or_their_time(monkeypatch: pytest.MonkeyPatch):
    device = Device(monkeypatch, 1 / 64)
    assert len(time_requests(device.step, device.synchronize, requests=7, seconds=1.0).seconds) == 7
    assert len(time_requests(device.step, device.synchronize, requests=1000, seconds=0.25).seconds) == 16


def test_requests_come_in_groups_that_say_when_they_began(monkeypatch: pytest.MonkeyPatch):
    device = Device(monkeypatch, 1 / 64)
    found = time_requests(device.step, device.synchronize, requests=640, seconds=100.0)
    assert found.group_sizes == (32,) * 20
    assert found.begun_seconds == tuple(group / 2 for group in range(20))


def test_every_block_that_was_tried_is_kept(monkeypatch: pytest.MonkeyPatch):
    """Waited for one by one, steps take three times as long as in a block: the first block tried is too short."""
    device = Device(monkeypatch, step_seconds=0.002, wait_seconds=0.004)
    found = blocks(device)
    assert found.tried_steps[0] == 84
    assert found.tried_block_seconds[0] == pytest.approx(84 * 0.002 + 0.004)
    assert found.tried_steps[-1] == found.steps_per_block
    timed = [len(found.warmup_step_seconds), *found.tried_steps, 4 * found.steps_per_block]
    assert sum(timed) == device.steps, "no step that was timed is left out"


def test_batches_take_turns():
    seen: list[int] = []
    step = rotating([1, 2, 3], seen.append)
    for _ in range(5):
        step()
    assert seen == [1, 2, 3, 1, 2]


def test_the_warm_up_goes_on_until_its_steps_have_settled(monkeypatch: pytest.MonkeyPatch):
    """Steps that get a hundredth faster each settle only where they stop doing so."""
    device = Device(monkeypatch, 0.1)

    def step() -> None:
        device.step()
        device.step_seconds = max(0.05, device.step_seconds * 0.99)

    found = time_blocks(step, device.synchronize, Protocol(warmup_steps=20, warmup_seconds=0.1, blocks=4), 0.5)
    assert settled(found.warmup_step_seconds)
    assert found.warmup_step_seconds[-1] == pytest.approx(0.05)
    assert not settled(found.warmup_step_seconds[:20])


def test_a_warm_up_that_never_settles_ends_at_its_most_seconds(monkeypatch: pytest.MonkeyPatch):
    device = Device(monkeypatch, 0.1)

    def step() -> None:
        device.step()
        device.step_seconds *= 1.05

    protocol = Protocol(warmup_steps=5, warmup_seconds=0.1, warmup_at_most_seconds=6, blocks=1)
    found = time_blocks(step, device.synchronize, protocol, 0.5)
    assert not settled(found.warmup_step_seconds)
    assert 6 <= sum(found.warmup_step_seconds) < 8


def test_queueing_a_step_is_told_from_waiting_for_it(monkeypatch: pytest.MonkeyPatch):
    device = Device(monkeypatch, 0.02)

    def step() -> None:
        device.step()
        device.now += 0.015

    found = time_blocks(step, device.synchronize, Protocol(warmup_steps=5, blocks=2), 0.5)
    assert found.queue_seconds == pytest.approx([0.015] * len(found.queue_seconds))
    assert found.step_seconds == pytest.approx(0.035)
    assert len(found.queue_seconds) == 20
