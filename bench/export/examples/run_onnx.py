"""Say what a picture shows: `python example.py PICTURE`. Needs onnxruntime, numpy and pillow."""

import onnxruntime
from picture import HERE, asked, pixels, tell

session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])  # Or one of the GPU's.
tell(session.run(None, {session.get_inputs()[0].name: pixels(asked())})[0])
