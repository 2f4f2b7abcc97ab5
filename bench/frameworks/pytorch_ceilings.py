"""The device's ceilings: the fastest matrix products and copies that PyTorch gets out of it."""

import msgspec
import torch
from torch import Tensor

from bench.errors import JobError
from bench.frameworks.pytorch import require
from bench.frameworks.trial import needs_newer_gpu
from bench.measure.context import Context
from bench.measure.timing import Blocks, Step, time_blocks
from bench.plan.protocol import Protocol
from bench.records.record import Ceiling, Ceilings

_TYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192, 16384)}
_COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}
_PINNED_BYTES = 1 << 28
_BLOCK_SECONDS = 0.25
# Twice the side is eight times the work; what would take longer than this a step is left out.
_LONGEST_STEP_SECONDS = 1.0


def measure(context: Context) -> Ceilings:
    """Return the fastest square product of each precision, the device's copy rate, and on a GPU the bus's both ways.

    Products are of random numbers: of zeros some chips are faster. A copy reads and writes, so it moves its bytes twice.
    """
    cell = context.job.cell
    require(cell)
    torch.set_num_threads(context.threads)
    device = torch.device(cell.device)
    protocol = msgspec.structs.replace(context.job.protocol, blocks=max(4, context.job.protocol.blocks // 4))
    found = [
        _fastest_product(name, device, protocol)
        for name in _TYPES
        if device.type == "cuda" or name != "tf32"
        if device.type == "cpu" or not needs_newer_gpu(name, torch.cuda.get_device_capability(device))
    ]
    copied = _bytes(_COPIED_BYTES[device.type], device)
    found.append(_copy("memory", torch.empty_like(copied), copied, 2, protocol))
    if device.type == "cuda":
        pinned = _bytes(_PINNED_BYTES, torch.device("cpu")).pin_memory()
        there = torch.empty(_PINNED_BYTES, dtype=torch.uint8, device=device)
        found.append(_copy("host to device", there, pinned, 1, protocol))
        found.append(_copy("device to host", pinned, there, 1, protocol))
    return Ceilings(threads=context.threads, found=tuple(found))


def _fastest_product(name: str, device: torch.device, protocol: Protocol) -> Ceiling:
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    found: list[Ceiling] = []
    for side in _SIDES[device.type]:
        generator = torch.Generator(device).manual_seed(0)
        a, b = (torch.randn(side, side, device=device, generator=generator).to(_TYPES[name]) for _ in range(2))
        product = torch.empty_like(a)

        def step(a: Tensor = a, b: Tensor = b, product: Tensor = product) -> None:
            torch.mm(a, b, out=product)

        blocks = _timed(step, device, protocol)
        found.append(Ceiling(name=name, side=side, operations=2 * side**3, moved_bytes=None, blocks=blocks))
        if 8 * blocks.step_seconds > _LONGEST_STEP_SECONDS:
            break
    torch.backends.cuda.matmul.allow_tf32 = tf32
    return max(found, key=lambda ceiling: ceiling.per_second)


def _copy(name: str, target: Tensor, source: Tensor, times: int, protocol: Protocol) -> Ceiling:
    device = target.device if target.is_cuda else source.device
    blocks = _timed(lambda: target.copy_(source, non_blocking=True), device, protocol)
    if not torch.equal(target.cpu(), source.cpu()):
        raise JobError(f"{name}: what was copied is not what arrived")
    return Ceiling(name=name, side=None, operations=None, moved_bytes=times * source.nbytes, blocks=blocks)


def _timed(step: Step, device: torch.device, protocol: Protocol) -> Blocks:
    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return time_blocks(step, synchronize, protocol, _BLOCK_SECONDS)


def _bytes(count: int, device: torch.device) -> Tensor:
    """Return random bytes; a mebibyte of them again and again, for drawing each would take longer than all the copies."""
    drawn = torch.randint(0, 255, (1 << 20,), dtype=torch.uint8, device=device)
    return drawn.repeat(count >> 20)
