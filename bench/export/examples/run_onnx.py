"""Say what a picture shows: `python example.py PICTURE`. Needs onnxruntime, numpy and pillow."""

import sys

import onnxruntime
from picture import HERE, pixels, tell

session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=onnxruntime.get_available_providers())
tell(session.run(None, {session.get_inputs()[0].name: pixels(sys.argv[1])})[0])
