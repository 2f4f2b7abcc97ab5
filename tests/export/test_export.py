"""Exports are made, run in processes of their own and held against their source; one that answers differently has no figures."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest
import torch

from bench.data.dataset import Split
from bench.data.read import read_dataset
from bench.errors import Disagrees, JobError, Unavailable, reason
from bench.export import FORMATS, gate, make, measure
from bench.export.find import find, find_exporter
from bench.export.format import Question, Wanted
from bench.export.make import Made
from bench.export.onnx import loader
from bench.frameworks import FRAMEWORKS, builder, source_kind
from bench.frameworks.pytorch import TorchTrial
from bench.frameworks.trial import Source
from bench.plan.cell import Job
from bench.records.record import Export, Outcome
from bench.run.launcher import Launcher
from bench.run.worker import request

MakeJob = Callable[..., Job]
Execute = Callable[[Job], Outcome]
# Those whose artifacts need nothing of what the model was trained with.
BY_THEMSELVES = {
    "onnx",
    "onnx-static",
    "onnx-int8",
    "openvino",
    "litert",
    "litert-float16",
    "litert-dynamic",
    "litert-int8",
}


def exported(outcome: Outcome) -> Export:
    assert outcome.status == "ok", outcome.reason
    assert isinstance(outcome.figures, Export)
    return outcome.figures


@pytest.mark.parametrize(
    ("framework", "architecture", "name"),
    [
        *(("torchvision", "mobilenet_v3_small", name) for name in ("onnx", "onnx-static", "openvino", "torchscript")),
        ("torchvision", "swin_t", "onnx"),
        *(("timm", "resnet18", name) for name in ("onnx-int8", "torch-export", "aotinductor")),
    ],
)
def test_an_artifact_agrees_with_its_source(
    make_job: MakeJob, execute_here: Execute, framework: str, architecture: str, name: str
):
    job = make_job(f"export:{name}", framework=framework, architecture=architecture, image_size=64, compared_images=32)
    figures = exported(execute_here(job))
    allowed = gate.TOLERANCES[find(name).precision]
    assert figures.maximum_relative_error <= allowed.error
    assert figures.top1_agreement >= allowed.decisions
    assert figures.compared_images == 32
    assert figures.artifact_bytes > 1_000_000
    assert {(t.threads, t.batch_size) for t in figures.timings} == {(n, b) for n in (1, 2) for b in (1, 16)}
    for timing in figures.timings:
        assert timing.latency_seconds
        assert sum(timing.latency_group_sizes) == len(timing.latency_seconds)
        assert len(timing.latency_begun_seconds) == len(timing.latency_group_sizes)
        assert timing.peak_resident_bytes is not None
        assert timing.peak_resident_bytes > 10_000_000
    assert figures.training_frameworks is not None
    assert not (name in BY_THEMSELVES and figures.training_frameworks)
    assert figures.test_top1 is None  # Nothing was trained.


@pytest.mark.parametrize(
    ("framework", "name"),
    [
        ("keras-tensorflow", "onnx"),
        ("keras-tensorflow", "savedmodel"),
        ("keras-tensorflow", "openvino"),
        ("keras-tensorflow", "litert"),
        ("keras-tensorflow", "litert-float16"),
        ("keras-tensorflow", "litert-dynamic"),
        ("keras-jax", "onnx"),
        ("keras-jax", "savedmodel"),
        ("keras-torch", "onnx"),
        ("keras-torch", "torch-export"),
    ],
)
def test_what_keras_exports_agrees_with_its_source(
    make_job: MakeJob,
    launcher: Launcher,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    framework: str,
    name: str,
):
    """The formats of a framework share what the first has learned, over the processes that test: compiling a step takes long."""
    execution = "eager" if framework == "keras-torch" else "compiled"
    changes = {"framework": framework, "execution": execution, "timeout_seconds": 300.0}
    learned = tmp_path_factory.getbasetemp().parent / f"learned-by-{framework}.keras"
    job = make_job(f"export:{name}", architecture="mobilenet_v3_small", **changes)
    job = msgspec.structs.replace(job, learned_file=str(learned))
    figures = exported(launcher.launch(job, tmp_path / "log").outcome)
    assert figures.maximum_relative_error <= gate.TOLERANCES[find(name).precision].error
    assert not (name in BY_THEMSELVES and figures.training_frameworks)


def test_the_weights_of_the_accuracy_are_what_is_exported(make_job: MakeJob, execute_here: Execute, tmp_path: Path):
    cell = {"framework": "timm", "architecture": "resnet18", "epochs": 1, "batch_size": 64}
    weights = str(tmp_path / "weights.safetensors")
    accuracy = execute_here(msgspec.structs.replace(make_job("accuracy", **cell), weights_file=weights))
    assert accuracy.status == "ok", accuracy.reason
    export = exported(execute_here(msgspec.structs.replace(make_job("export:onnx", **cell), weights_file=weights)))
    assert export.source_top1 == accuracy.figures.test_top1  # type: ignore[union-attr]
    assert export.test_top1 == export.source_top1
    assert export.compared_images == accuracy.figures.test_images  # type: ignore[union-attr]


def test_without_the_weights_of_the_accuracy_there_is_no_export(
    make_job: MakeJob, execute_here: Execute, tmp_path: Path
):
    job = make_job("export:onnx", framework="timm", architecture="resnet18")
    outcome = execute_here(msgspec.structs.replace(job, weights_file=str(tmp_path / "none.safetensors")))
    assert outcome.status == Unavailable.status
    assert "none.safetensors" in str(outcome.reason)


def test_exports_of_a_cell_without_an_accuracy_share_what_the_first_has_learned(
    make_job: MakeJob, execute_here: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And with no request asked for there is nothing of a latency, but all the rest."""
    job = make_job("export:onnx", framework="timm", architecture="resnet18", latency_requests=0)
    shared = msgspec.structs.replace(job, learned_file=str(tmp_path / "learned.safetensors"))
    first = exported(execute_here(shared))
    assert [file.name for file in tmp_path.iterdir()] == ["learned.safetensors"]
    monkeypatch.setattr(TorchTrial, "train_step", Mock(side_effect=AssertionError("it has learned already")))
    second = exported(execute_here(shared))
    assert second.maximum_absolute_error == first.maximum_absolute_error
    assert second.test_top1 is None
    for timing in second.timings:
        assert timing.latency_seconds == ()
        assert timing.load_seconds > 0
        assert timing.first_inference_seconds > 0


def test_an_artifact_that_answers_differently_fails(
    make_job: MakeJob, execute_here: Execute, monkeypatch: pytest.MonkeyPatch
):
    def wrong(self: Made, *asked: Question, **more: Any) -> Any:
        answers = real(self, *asked, **more)
        for logits in (one.logits for one in asked if one.logits):
            np.save(logits, np.load(logits) * np.float32(1.01))
        return answers

    real = Made.ask
    monkeypatch.setattr(Made, "ask", wrong)
    outcome = execute_here(make_job("export:torchscript", framework="timm", architecture="resnet18"))
    assert outcome.status == Disagrees.status == "failed"
    assert "differs from its source by 0.01 of the largest logit" in str(outcome.reason)
    assert outcome.figures is None


def test_images_of_every_class_are_compared(make_job: MakeJob, execute_here: Execute, monkeypatch: pytest.MonkeyPatch):
    """The test split of the digits stands in the order of its classes."""
    compared: list[np.ndarray] = []

    def write(trial: Any, split: Split, file: Path) -> Path:
        compared.append(split.labels)
        raise JobError("that is enough")

    monkeypatch.setattr(measure, "write_pixels", write)
    execute_here(make_job("export:torchscript", framework="timm", architecture="resnet18", compared_images=32))
    assert set(compared[0]) == set(range(10))


def test_images_that_would_fill_the_disk_are_told(
    make_job: MakeJob, execute_here: Execute, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(measure.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    outcome = execute_here(make_job("export:torchscript", framework="timm", architecture="resnet18"))
    assert outcome.status == "failed"
    assert "of images for the artifact find no room in" in str(outcome.reason)


def test_a_format_of_a_gpu_is_unavailable_where_there_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(Unavailable, match="it runs on an NVIDIA GPU, and there is none"):
        find("tensorrt").needs()


def test_what_a_format_cannot_be_made_from_is_unsupported(make_job: MakeJob, execute_here: Execute):
    outcome = execute_here(make_job("export:onnx", framework="timm", architecture="resnet18", precision="bf16"))
    assert outcome.status == "unsupported"
    outcome = execute_here(make_job("export:litert", framework="timm", architecture="resnet18"))
    assert outcome.status == "unsupported"
    assert "litert cannot be made from a torch model" in str(outcome.reason)


def test_nothing_is_computed_for_what_cannot_be_made(
    make_job: MakeJob, execute_here: Execute, monkeypatch: pytest.MonkeyPatch
):
    def answer(self: object, split: Split) -> np.ndarray:
        raise AssertionError("the whole test split takes minutes")

    monkeypatch.setattr(TorchTrial, "logits", answer)
    for name, precision in (("litert", "fp32"), ("onnx", "amp-bf16")):
        job = make_job(f"export:{name}", framework="timm", architecture="resnet18", precision=precision)
        assert execute_here(job).status == "unsupported"


def test_the_table_knows_what_the_exporters_know_a_model_as(make_job: MakeJob):
    for name in ("timm", "torchvision"):
        job = make_job(framework=name, architecture="resnet18")
        trial = builder(name)(request(job, read_dataset("digits", 32), 2))
        assert trial.source().kind == source_kind(name)


def test_the_operator_that_stops_a_converter_is_named(tmp_path: Path):
    @torch.library.custom_op("bench_tests::unheard_of", mutates_args=())
    def unheard_of(pixels: torch.Tensor) -> torch.Tensor:
        return pixels.clone()

    unheard_of.register_fake(torch.empty_like)

    class Network(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return unheard_of(pixels)

    source = Source(kind="torch", model=Network(), example=torch.zeros(2, 3, 4, 4))
    _, exporter = find_exporter("onnx", "torch")
    with pytest.raises(RuntimeError, match="convert the exported program") as raised:
        exporter.export(source, Wanted(tmp_path / "model.onnx", None))
    assert "bench_tests.unheard_of" in reason(raised.value).partition(";")[0]
    assert "\x1b" not in reason(raised.value)


def test_a_network_that_cannot_be_scripted_is_traced_and_the_method_says_why(tmp_path: Path):
    class Network(torch.nn.Module):
        def forward(self, *pixels: torch.Tensor) -> torch.Tensor:
            return pixels[0].flatten(1)

    source = Source(kind="torch", model=Network(), example=torch.zeros(2, 3, 4, 4))
    _, exporter = find_exporter("torchscript", "torch")
    method = exporter.export(source, Wanted(tmp_path / "model.pt", None))
    assert method.startswith("torch.jit.trace (script: NotSupportedError: Compiled functions can't take")


def test_a_provider_that_is_not_there_is_unavailable():
    with pytest.raises(Unavailable, match="this ONNX Runtime has no CUDAExecutionProvider"):
        find_exporter("onnx-cuda", "torch")


def artifact(name: str, folder: Path) -> Made:
    """Return what `make` would of a model that is a file of a few bytes."""
    chosen = find(name)
    file = folder / f"model{chosen.suffix}"
    return Made(format=name, chosen=chosen, artifacts={1: file}, export_seconds=0, artifact_bytes=0, method="by hand")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("onnx", "Protobuf parsing failed"),
        ("openvino", "Unable to read the model"),
        ("litert", "not a valid Flatbuffer"),
        ("torchscript", "failed finding central directory"),
        ("torch-export", "not a zip file"),
        ("aotinductor", "failed finding central directory"),
    ],
)
def test_a_broken_artifact_is_told_in_a_line(name: str, said: str, tmp_path: Path):
    made = artifact(name, tmp_path)
    made.artifacts[1].write_bytes(b"broken" * 100)
    pixels = tmp_path / "pixels.npy"
    np.save(pixels, np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(JobError, match=f"^{name} was not run: .*{said}") as told:
        made.ask(made.question(pixels, 1, 1))
    assert "\n" not in str(told.value)


def test_an_artifact_that_does_not_answer_in_time_is_told(tmp_path: Path):
    made = artifact("onnx", tmp_path)
    with pytest.raises(JobError, match=r"^onnx was not run: no answer within 0\.01 s$"):
        made.ask(made.question(tmp_path / "pixels.npy", 1, 1), limit_seconds=0.01)


def test_an_engine_that_tensorrt_cannot_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """TensorRT, which is not here, returns None for it."""
    reader = SimpleNamespace(deserialize_cuda_engine=lambda engine: None)
    monkeypatch.setitem(sys.modules, "tensorrt", Mock(Runtime=lambda logger: reader))
    monkeypatch.setitem(sys.modules, "cuda", Mock())
    monkeypatch.setitem(sys.modules, "cuda.bindings", Mock())
    (tmp_path / "model.engine").write_bytes(b"broken" * 100)
    np.save(tmp_path / "pixels.npy", np.zeros((1, 3, 2, 2), np.float32))
    question = Question(
        format="tensorrt",
        artifact=str(tmp_path / "model.engine"),
        pixels=str(tmp_path / "pixels.npy"),
        batch_size=1,
        threads=1,
    )
    with pytest.raises(JobError, match="reads no engine"):
        find("tensorrt").answer(question)


def small_onnx(file: Path, opset: int, operator: str = "Identity") -> None:
    """Write a network that makes 12 logits of 12 values, one each."""
    from onnx import TensorProto, helper, save

    given = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 2, 2])
    returned = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 12])
    nodes = [helper.make_node(operator, ["pixels"], ["same"]), helper.make_node("Flatten", ["same"], ["logits"])]
    graph = helper.make_graph(nodes, "small", [given], [returned])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), file)


def test_a_model_of_an_opset_that_the_runtime_has_not_is_told(tmp_path: Path):
    made = artifact("onnx", tmp_path)
    small_onnx(made.artifacts[1], opset=999)
    np.save(tmp_path / "pixels.npy", np.zeros((1, 3, 2, 2), np.float32))
    with pytest.raises(JobError, match="opset"):
        made.ask(made.question(tmp_path / "pixels.npy", 1, 1))


# Eight bits times eight, 64 of them added up: each product is more than half of what 16 bits hold.
LARGEST_PRODUCTS = f"""<ir_version: 8, opset_import: ["": 17]>
small (float[n, 64] pixels) => (float[n, 1] logits)
<
    float one = {{1}}, uint8 none = {{0}}, int8 signed_none = {{0}}, float wide = {{{64 * 127}}},
    int8[64, 1] weights = {{{", ".join(["127"] * 64)}}}
>
{{
    narrow = QuantizeLinear(pixels, one, none)
    wide_again = DequantizeLinear(narrow, one, none)
    matrix = DequantizeLinear(weights, one, signed_none)
    product = MatMul(wide_again, matrix)
    kept = QuantizeLinear(product, wide, none)
    logits = DequantizeLinear(kept, wide, none)
}}"""


def test_eight_bits_do_not_overflow_on_a_processor_without_vnni(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With VNNI they never do; without, ONNX Runtime adds two products up in 16 bits where it is not told otherwise."""
    import onnx
    import onnxruntime

    file = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(LARGEST_PRODUCTS), file)
    opened = Mock(wraps=onnxruntime.InferenceSession)
    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    run = loader("CPUExecutionProvider")(file, 1)
    assert opened.call_args.args[1].get_session_config_entry("session.x64quantprecision") == "1", (
        "where VNNI hides it too"
    )
    np.testing.assert_allclose(run(np.full((2, 64), 255, np.float32)), 64 * 127 * 255)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((1, 3, 5, 5), np.float32), "invalid dimensions"),
        (np.zeros((1, 3, 2, 2), np.float64), "the images are float64, and an artifact takes float32"),
    ],
)
def test_an_input_of_another_shape_or_type_is_told(pixels: np.ndarray, said: str, tmp_path: Path):
    made = artifact("onnx", tmp_path)
    small_onnx(made.artifacts[1], opset=17)
    np.save(tmp_path / "pixels.npy", pixels)
    with pytest.raises(JobError, match=said):
        made.ask(made.question(tmp_path / "pixels.npy", 1, 1))


def test_every_image_is_answered_once_whatever_the_batch(tmp_path: Path):
    made = artifact("onnx", tmp_path)
    small_onnx(made.artifacts[1], opset=17)
    made.artifacts[4] = made.artifacts[1]
    values = np.arange(7 * 12, dtype=np.float32).reshape(7, 3, 2, 2)
    np.save(tmp_path / "pixels.npy", values)
    made.ask(made.question(tmp_path / "pixels.npy", 4, 1, logits=tmp_path / "logits.npy"))
    assert np.array_equal(np.load(tmp_path / "logits.npy"), values.reshape(7, 12))


def test_what_fails_half_way_leaves_what_was_there_before(tmp_path: Path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "before").touch()

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"), make.whole(tmp_path / "made") as folder:
        fail(folder)
    assert [file.name for file in tmp_path.rglob("*")] == ["made", "before"]
    with make.whole(tmp_path / "made") as folder:
        (folder / "after").touch()
    assert [file.name for file in tmp_path.rglob("*")] == ["made", "after"]


def test_every_artifact_of_a_static_format_passes_the_gate(tmp_path: Path):
    """The one of single images is another file than the batch's: a fault in either is found."""
    made = artifact("onnx-static", tmp_path)
    small_onnx(made.artifacts[1], opset=17)
    made.artifacts[4] = tmp_path / "model-4.onnx"
    small_onnx(made.artifacts[4], opset=17, operator="Neg")
    values = np.arange(4 * 12, dtype=np.float32).reshape(4, 3, 2, 2)
    np.save(tmp_path / "pixels.npy", values)
    with pytest.raises(Disagrees):
        measure.compare(made, tmp_path / "pixels.npy", values.reshape(4, 12), 1, False)
    small_onnx(made.artifacts[4], opset=17)
    found = measure.compare(made, tmp_path / "pixels.npy", values.reshape(4, 12), 1, False)
    assert np.array_equal(found.logits, values.reshape(4, 12))
    assert (found.agreement.relative, found.agreement.decisions, found.training_frameworks) == (0, 1, ())


def test_an_artifact_for_any_batch_passes_the_gate_at_every_size_that_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def ask(self: Made, *asked: Question, **more: Any) -> Any:
        answers = real(self, *asked, **more)
        np.save(asked[0].logits, -np.load(asked[0].logits))
        return answers

    made = artifact("onnx", tmp_path)
    small_onnx(made.artifacts[1], opset=17)
    made.artifacts[4] = made.artifacts[1]
    values = np.arange(4 * 12, dtype=np.float32).reshape(4, 3, 2, 2)
    np.save(tmp_path / "pixels.npy", values)
    measure.compare(made, tmp_path / "pixels.npy", values.reshape(4, 12), 1, False)
    real = Made.ask
    monkeypatch.setattr(Made, "ask", ask)
    with pytest.raises(Disagrees):
        measure.compare(made, tmp_path / "pixels.npy", values.reshape(4, 12), 1, False)


def test_a_batch_is_timed_for_a_third_of_a_latency(
    monkeypatch: pytest.MonkeyPatch, make_job: MakeJob, execute_here: Execute
):
    def ask(self: Made, *questions: Question, **more: Any) -> Any:
        asked.append(questions)
        return real(self, *questions, **more)

    asked: list[tuple[Question, ...]] = []
    real = Made.ask
    monkeypatch.setattr(Made, "ask", ask)
    job = make_job("export:torchscript", framework="timm", architecture="resnet18", batch_size=4, compared_images=4)
    exported(execute_here(job))
    protocol = job.protocol
    assert [{question.threads for question in of_one_process} for of_one_process in asked] == [{2}, {1}]
    for of_one_process in asked:
        assert [(question.batch_size, question.requests) for question in of_one_process] == [
            (size, protocol.latency_requests) for size in (1, 4)
        ]
        assert [round(protocol.latency_seconds / question.seconds, 3) for question in of_one_process] == [1, 3]


def test_the_agreement_is_of_every_image_and_the_gate_of_all_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One image in 64 that a single image's artifact decides otherwise is within what int8 is allowed, and no figure of it."""

    def ask(self: Made, *asked: Question, **more: Any) -> Any:
        answers = real(self, *asked, **more)
        found = np.load(asked[0].logits)
        found[0] = found[0, ::-1]
        np.save(asked[0].logits, found)
        return answers

    real = Made.ask
    monkeypatch.setattr(Made, "ask", ask)
    made = artifact("onnx-int8", tmp_path)
    small_onnx(made.artifacts[1], opset=17)
    made.artifacts[16] = made.artifacts[1]
    values = np.tile(np.arange(12, dtype=np.float32), (100, 1))
    values[0] /= 10
    np.save(tmp_path / "pixels.npy", values.reshape(100, 3, 2, 2))
    found = measure.compare(made, tmp_path / "pixels.npy", values, 1, False)
    assert found.agreement == (100, 0, 0, 0, 1)


@pytest.mark.parametrize("several_labels", [False, True])
def test_no_answer_of_a_second_artifact_that_is_not_a_number_passes_the_gate(several_labels: bool, tmp_path: Path):
    made = artifact("onnx-static", tmp_path)
    small_onnx(made.artifacts[1], opset=17)
    made.artifacts[4] = tmp_path / "model-4.onnx"
    small_onnx(made.artifacts[4], opset=17, operator="Sqrt")  # NaN for what is negative.
    values = -np.arange(4 * 12, dtype=np.float32).reshape(4, 3, 2, 2)
    np.save(tmp_path / "pixels.npy", values)
    with pytest.raises(Disagrees, match="by nan of the largest logit"):
        measure.compare(made, tmp_path / "pixels.npy", values.reshape(4, 12), 1, several_labels)


def test_agreement_is_of_the_largest_logit():
    expected = np.array([[1.0, -4.0], [2.0, 3.0]], np.float32)
    found = np.array([[1.0, -4.0], [3.1, 3.0]], np.float32)
    said = gate.agreement(expected, found)
    assert said.images == 2
    assert said.absolute == pytest.approx(1.1)
    assert said.relative == pytest.approx(1.1 / 4)
    assert said.centred == pytest.approx(1.1 / 3.5)
    assert said.decisions == 0.5
    assert gate.agreement(expected, -found, several_labels=True).decisions == 0


def test_what_answers_the_same_for_every_image_is_off_by_half_of_what_images_change_or_more():
    """Of a network that has learned little: each image changes a hundredth of a logit, and no decision."""
    expected = np.tile(np.array([1.0, 0.0, -1.0], np.float32), (256, 1))
    expected += np.random.default_rng(0).uniform(-0.01, 0.01, expected.shape).astype(np.float32)
    middle = (expected.max(axis=0) + expected.min(axis=0)) / 2
    for blind in (expected.mean(axis=0), middle, expected[0]):
        said = gate.agreement(expected, np.tile(blind, (256, 1)))
        assert said.decisions == 1
        assert said.relative < 0.025
        assert said.centred >= 0.5
    assert gate.agreement(expected, expected + np.float32(0.004)).centred < 0.5


def test_images_of_one_in_thousands_may_be_decided_otherwise_in_32_bits():
    expected = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    expected[0] = 1.0, 1.00001, 0.0
    found = expected.copy()
    found[0] = 1.00001, 1.0, 0.0
    gate.check("onnx", "fp32", gate.agreement(expected, found))
    with pytest.raises(
        Disagrees, match=r"^onnx decides as its source for 99\.609% of 256 images \(asked are 99\.9%\)$"
    ):
        gate.check("onnx", "fp32", gate.agreement(expected[:256], found[:256]))


def test_another_number_of_logits_disagrees():
    with pytest.raises(Disagrees, match=r"gives logits in \[2, 3\], its source in \[2, 2\]"):
        gate.agreement(np.zeros((2, 2), np.float32), np.zeros((2, 3), np.float32))


def test_every_precision_that_a_format_computes_in_has_a_tolerance():
    assert {find(name).precision for name in FORMATS} == gate.TOLERANCES.keys()


def test_what_tf2onnx_does_not_take_reaches_onnx_unchanged(tmp_path: Path):
    """Tensors that a layer holds, a convolution in groups, GELU: in a process of its own, for Keras runs on TensorFlow there."""
    code = """
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime

from bench.export.format import Wanted
from bench.export.onnx import EXPORTERS
from bench.frameworks.trial import Source

inputs = outputs = keras.Input((8, 8, 4))
outputs = keras.layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 9.0, 16.0])(outputs)
outputs = keras.layers.Conv2D(8, 3, groups=4)(outputs)
outputs = keras.layers.Dense(3)(keras.layers.Flatten()(keras.activations.gelu(outputs)))
model = keras.Model(inputs, outputs)
example = keras.InputSpec(dtype="float32", shape=(None, 8, 8, 4), name="pixels")
file = Path(sys.argv[1])
EXPORTERS["keras-tensorflow"].export(Source(kind="keras-tensorflow", model=model, example=example), Wanted(file, None))
session = onnxruntime.InferenceSession(file)
(taken,) = session.get_inputs()
pixels = np.random.default_rng(0).normal(size=(5, 8, 8, 4)).astype(np.float32)
found, expected = session.run(None, {taken.name: pixels})[0], np.asarray(model(pixels))
assert np.abs(expected).max() > 0.1, expected
assert np.abs(found - expected).max() < 1e-5, found - expected
"""
    environment = os.environ | FRAMEWORKS["keras-tensorflow"].environment
    command = [sys.executable, "-c", code, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
