"""A loop by hand around ResNet-18, with nothing of bench in it: `by_hand.py inference|training SECONDS`.

For each line it reads it runs for so many seconds and answers with images a second, until its input ends.
"""

import sys
import time
from collections.abc import Callable

import torch
from torchvision.models import resnet18

BATCH, SIZE = 32, 64
Batch = tuple[torch.Tensor, torch.Tensor]


def loop_by_hand(kind: str, batches: list[Batch], seconds: float) -> Callable[[], float]:
    """Return a function that runs a plain loop for a while and returns images a second."""
    torch.manual_seed(0)
    model = resnet18(num_classes=10).to(memory_format=torch.channels_last).train(kind == "training")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.6e-4, weight_decay=0.05, fused=True)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def train(images: torch.Tensor, labels: torch.Tensor) -> None:
        criterion(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    def predict(images: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.inference_mode():
            model(images)

    step = train if kind == "training" else predict

    def run() -> float:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            step(*batches[count % len(batches)])
            count += 1
        return BATCH * count / (time.perf_counter() - begun)

    return run


def main(kind: str, seconds: float) -> None:
    """Serve rounds: one line in, one rate out; the first round warms up and is not told."""
    batches = [
        (torch.randn(BATCH, 3, SIZE, SIZE).to(memory_format=torch.channels_last), torch.randint(0, 10, (BATCH,)))
        for _ in range(4)
    ]
    run = loop_by_hand(kind, batches, seconds)
    run()
    for _ in sys.stdin:
        print(run(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
