"""A loop by hand around ResNet-18, with nothing of bench in it: `by_hand.py inference|training SECONDS`.

For each line it reads it runs for so many seconds and answers with images a second, until its input ends.
"""

import sys
import time

import torch
from torchvision.models import resnet18

BATCH, SIZE = 32, 64


def main(kind: str, seconds: float) -> None:
    """Serve rounds: one line in, one rate out."""
    torch.manual_seed(0)
    model = resnet18(num_classes=10).to(memory_format=torch.channels_last).train(kind == "training")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.6e-4, weight_decay=0.05, fused=True)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    images = [torch.randn(BATCH, 3, SIZE, SIZE).to(memory_format=torch.channels_last) for _ in range(4)]
    labels = [torch.randint(0, 10, (BATCH,)) for _ in range(4)]

    def train(turn: int) -> None:
        criterion(model(images[turn]), labels[turn]).backward()
        optimizer.step()
        optimizer.zero_grad()

    def predict(turn: int) -> None:
        with torch.inference_mode():
            model(images[turn])

    step = train if kind == "training" else predict
    for _ in range(5):
        step(0)
    for _ in sys.stdin:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            step(count % 4)
            count += 1
        print(BATCH * count / (time.perf_counter() - begun), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
