"""Say what a picture shows: `python example.py PICTURE`. Needs onnxruntime, numpy and pillow."""

import onnxruntime
from picture import HERE, asked, pixels, tell

options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")  # Eight bits overflow on processors without VNNI.
session = onnxruntime.InferenceSession(HERE / "model.onnx", options, ["CPUExecutionProvider"])  # Or one of the GPU's.
tell(session.run(None, {session.get_inputs()[0].name: pixels(asked())})[0])
