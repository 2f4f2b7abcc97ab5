"""Say what a picture shows: `python example.py PICTURE`. Needs openvino, numpy and pillow."""

import sys

import openvino
from picture import HERE, pixels, tell

model = openvino.Core().compile_model(HERE / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
tell(model(pixels(sys.argv[1]))[0])
