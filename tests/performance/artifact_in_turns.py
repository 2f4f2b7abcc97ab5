"""One artifact asked by the harness and by a loop without it, in one process and in turns: what slows one slows the other.

`python artifact_in_turns.py FORMAT ARTIFACT PIXELS THREADS REQUESTS`; PIXELS: a .npy file of images. Prints the harness's median
latency in seconds, and that of the loop.
"""

import functools
import itertools
import statistics
import sys
import time

import artifact_by_hand
import numpy as np

from bench.export import runtime
from bench.export.find import find
from bench.export.format import Question
from bench.measure.timing import time_requests

TURNS = 20  # As many as the harness has groups of requests.


def main(name: str, artifact: str, pixels: str, threads: int, requests: int) -> None:
    run = getattr(artifact_by_hand, name.replace("-", "_"))(artifact, threads)
    batches = itertools.cycle(np.load(pixels)[:, None])
    seconds = []

    def turn() -> bool:
        run(next(batches))
        for _ in range(requests // TURNS):
            batch = next(batches)
            begun = time.perf_counter()
            run(batch)
            seconds.append(time.perf_counter() - begun)
        return True

    runtime.time_requests = functools.partial(time_requests, hand_over=turn)
    question = Question(
        format=name,
        artifact=artifact,
        pixels=pixels,
        batch_size=1,
        threads=threads,
        requests=requests,
        seconds=120.0,
    )
    answer = find(name).answer(question)
    print(statistics.median(answer.latency_seconds), statistics.median(seconds[-requests:]))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
