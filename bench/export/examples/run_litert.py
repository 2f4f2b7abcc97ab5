"""Say what a picture shows: `python example.py PICTURE`. Needs ai-edge-litert, numpy and pillow."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from picture import HERE, asked, pixels, tell

interpreter = Interpreter(str(HERE / "model.tflite"))
interpreter.allocate_tensors()
taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
values = pixels(asked())
if taken["dtype"] == np.int8:
    scale, zero = taken["quantization"]
    values = np.clip(np.round(values / scale) + zero, -128, 127).astype(np.int8)
interpreter.set_tensor(taken["index"], values)
interpreter.invoke()
logits = interpreter.get_tensor(given["index"])
if given["dtype"] == np.int8:
    scale, zero = given["quantization"]
    logits = (logits.astype(np.float32) - zero) * scale
tell(logits)
