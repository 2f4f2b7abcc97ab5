"""Jobs come in blocks, each cell once a block, in an order that only the seed decides."""

import msgspec

from bench.plan.jobs import jobs
from bench.plan.matrix import Grid, expand
from bench.plan.protocol import Protocol
from bench.plan.recipe import recipe

GRID = Grid(
    measurements=("build", "training", "accuracy"),
    architectures=("resnet18", "resnet50"),
    frameworks=("timm",),
    batch_sizes=(8,),
    image_sizes=(64,),
)
PROTOCOL = Protocol(processes=3, processes_at_most=3, seeds=2)


def test_each_measurement_has_its_number_of_processes_and_each_process_its_seed():
    found = jobs(expand((GRID,), "cpu"), PROTOCOL, seed=7)
    counts = {m: sum(job.measurement == m for job in found) for m in GRID.measurements}
    assert counts == {"build": 2, "training": 6, "accuracy": 4}
    assert all(job.seed == 7 + job.process for job in found)
    assert len({job.key for job in found}) == len(found)


def test_an_export_is_made_and_timed_in_as_many_processes_as_the_protocol_asks_for():
    grid = msgspec.structs.replace(GRID, measurements=("accuracy", "export:onnx"))
    found = jobs(expand((grid,), "cpu"), Protocol(processes=3, processes_at_most=9, seeds=1), seed=0)
    assert {job.process for job in found if job.measurement == "export:onnx"} == {0, 1, 2}


def test_a_block_ends_before_the_next_begins():
    order = [job.process for job in jobs(expand((GRID,), "cpu"), PROTOCOL, seed=0)]
    assert order == sorted(order)


def test_the_seed_decides_the_order():
    planned = expand((GRID,), "cpu")
    assert jobs(planned, PROTOCOL, 0) == jobs(planned, PROTOCOL, 0)
    assert [j.key for j in jobs(planned, PROTOCOL, 0)] != [j.key for j in jobs(planned, PROTOCOL, 1)]


def test_a_comparison_runs_a_and_b_one_after_the_other_and_turns_them_round():
    found = jobs(expand((GRID,), "cpu"), Protocol(processes=4, processes_at_most=9, seeds=1), 0, against="turns")
    orders = {}
    for job in found:
        orders.setdefault((job.cell.id, job.measurement, job.process), []).append(job.side)
    assert all(set(sides) >= {"a", "b"} for sides in orders.values())
    for (cell, measurement, process), sides in orders.items():
        if process % 2:
            assert sides == orders[cell, measurement, process - 1][::-1], "A B B A or B A A B"
    assert max(process for _, _, process in orders) == 3, "as many pairs as asked for, whatever they say"
    control = {(cell, measurement) for (cell, measurement, _), sides in orders.items() if "a-again" in sides}
    assert len(control) == 1
    for (cell, measurement, _), sides in orders.items():
        assert ("a-again" in sides) is ((cell, measurement) in control)
    positions = {job.key: number for number, job in enumerate(found)}
    for job in found:
        if job.side == "a":
            other = positions[job.cell.id, job.measurement, "b", job.process]
            assert abs(positions[job.key] - other) <= 2


def test_the_control_is_drawn_from_cells_that_can_run():
    grid = msgspec.structs.replace(GRID, measurements=("training",), precisions=("fp32", "tf32"))
    planned = expand((grid,), "cpu")
    for seed in range(20):
        again = {job.cell.precision for job in jobs(planned, PROTOCOL, seed, "turns") if job.side == "a-again"}
        assert again == {"fp32"}, "no CPU has TF32"


def test_networks_of_attention_train_at_the_rate_that_the_recipe_has_for_them():
    said = recipe("baseline")
    assert said.attention_learning_rate != said.learning_rate
    grid = msgspec.structs.replace(GRID, architectures=("resnet18", "swin_t", "vit_b_16"), measurements=("accuracy",))
    found = {job.cell.architecture: job.recipe for job in jobs(expand((grid,), "cpu"), PROTOCOL, seed=0)}
    rates = {architecture: one.learning_rate for architecture, one in found.items()}
    assert rates == {"resnet18": said.learning_rate} | dict.fromkeys(
        ("swin_t", "vit_b_16"), said.attention_learning_rate
    )
    assert all(one.attention_learning_rate is None for one in found.values()), "the record names the one in force"
