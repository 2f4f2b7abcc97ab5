"""A graph model of TensorFlow.js, for any batch, run by its WebAssembly backend in Node.js."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec

from bench.errors import JobError, last_words
from bench.export import savedmodel, tfjs_environment
from bench.export.format import Answer, Exporter, Format, Question, Source, Wanted
from bench.plan.files import PACKAGE

LIMIT_SECONDS = 1800.0  # Of the converter; whole minutes are slow.
JAVASCRIPT = PACKAGE / "export" / "javascript"


def _from_keras(source: Source, wanted: Wanted) -> str:
    """Export a SavedModel, and have the converter of TensorFlow.js's own environment make the graph model."""
    saved = wanted.artifact.with_name("savedmodel")
    method = savedmodel.from_keras(source, wanted._replace(artifact=saved))
    convert(saved, wanted.artifact)
    flattened = _flatten_biases(wanted.artifact)
    shutil.rmtree(saved)
    return f"{method}; tensorflowjs_converter without oneDNN{', biases flattened' if flattened else ''}"


def convert(saved: Path, artifact: Path) -> None:
    """Make a graph model of a SavedModel; raise `JobError` with the converter's last words where it fails."""
    command = [
        *(str(tfjs_environment.python()), "-m", "tensorflowjs.converters.converter"),
        *("--input_format=tf_saved_model", "--output_format=tfjs_graph_model", str(saved), str(artifact)),
    ]
    # With oneDNN TensorFlow's optimiser fuses what the WebAssembly backend has no kernel for: hard-swish into a convolution,
    # and a bias that is left in four axes ('FusedConv2D only supports rank-1 bias').
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise JobError(f"tensorflowjs_converter: no end within {LIMIT_SECONDS:g} s") from None
    if done.returncode:
        raise JobError(f"tensorflowjs_converter: {last_words(done.returncode, done.stderr)}")


def _flatten_biases(artifact: Path) -> bool:
    """Give every bias in a convolution its one axis, of the four in which a folded normalisation leaves it; the values stay.

    WebAssembly's kernel takes no other ('FusedConv2D only supports rank-1 bias'). Return whether there was one to be changed.
    """
    file = artifact / "model.json"
    model = json.loads(file.read_bytes())
    convolutions = [node for node in model["modelTopology"]["node"] if node["op"].startswith("_FusedConv2D")]
    biases = {node["input"][2] for node in convolutions}
    weights = (weight for group in model["weightsManifest"] for weight in group["weights"])
    folded = [weight for weight in weights if weight["name"] in biases and len(weight["shape"]) > 1]
    for weight in folded:
        weight["shape"] = weight["shape"][-1:]
    file.write_text(json.dumps(model))
    return bool(folded)


def _answer(question: Question) -> Answer:
    """Ask Node.js, which reads the question and writes the answer, and its logits as they lie in memory."""
    command = ["node", str(JAVASCRIPT / "node.cjs"), str(tfjs_environment.modules())]
    done = subprocess.run(command, input=msgspec.json.encode(question), capture_output=True)
    said = done.stderr.decode(errors="replace")
    print(textwrap.indent(said, "  "), file=sys.stderr)  # Its last word comes in our own.
    if done.returncode:
        raise JobError(f"in Node.js: {last_words(done.returncode, said)}")
    if question.logits is not None:
        keep_logits(question)
    return msgspec.json.decode(done.stdout, type=Answer)


def keep_logits(question: Question) -> None:
    """Turn the float32 values that JavaScript left into the .npy file that was asked for."""
    import numpy as np

    assert question.logits is not None, "only asked for where there are some"
    images = len(np.load(question.pixels, mmap_mode="r"))
    np.save(question.logits, np.fromfile(f"{question.logits}.raw", np.float32).reshape(images, -1))


def place_modules(folder: Path) -> None:
    """Copy what a page needs of TensorFlow.js, so that it opens without a network."""
    folder.mkdir()
    for package in ("tfjs", "tfjs-backend-wasm"):
        for file in (tfjs_environment.modules() / "@tensorflow" / package / "dist").glob("*"):
            if file.suffix == ".wasm" or file.name in ("tf.min.js", "tf-backend-wasm.min.js"):
                shutil.copy(file, folder)


FORMAT = Format(
    runtime="TensorFlow.js, WebAssembly in Node.js",
    suffix="",
    example="run_tfjs.html",
    exporters={"keras-tensorflow": Exporter(_from_keras, ("keras.export", "tensorflow"))},
    answer=_answer,
    several_threads=False,
    needs=tfjs_environment.needs,
    prepare=tfjs_environment.prepare,
)
