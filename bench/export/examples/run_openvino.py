"""Say what a picture shows: `python example.py PICTURE`. Needs openvino, numpy and pillow."""

import openvino
from picture import HERE, asked, pixels, tell

model = openvino.Core().compile_model(HERE / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
tell(model(pixels(asked()))[0])
