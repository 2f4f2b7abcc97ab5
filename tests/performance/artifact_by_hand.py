"""Artifacts opened as someone would who measures them without a harness: each returns what answers one batch."""


def onnx(artifact, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.x64quantprecision", "1")  # Else eight bits overflow without VNNI.
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


onnx_int8 = onnx


def openvino(artifact, threads):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(artifact, "CPU", settings).create_infer_request()
    return lambda pixels: request.infer([pixels], share_inputs=True)[0]


def of_torch(opened, threads):
    import torch

    torch.set_num_threads(threads)

    def run(pixels):
        with torch.inference_mode():
            return opened(torch.from_numpy(pixels)).numpy()

    return run


def torchscript(artifact, threads):
    import torch

    return of_torch(torch.jit.load(artifact), threads)


def torch_export(artifact, threads):
    import torch

    return of_torch(torch.export.load(artifact).module(), threads)


def aotinductor(artifact, threads):
    import torch

    return of_torch(torch._inductor.aoti_load_package(artifact), threads)


def litert(artifact, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=artifact, num_threads=threads)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(pixels):
        interpreter.set_tensor(taken, pixels)
        interpreter.invoke()
        return interpreter.get_tensor(given)

    return run


def litert_int8(artifact, threads):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=artifact, num_threads=threads)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), (wide, middle) = taken["quantization"], given["quantization"]

    def run(pixels):
        narrow = np.clip(np.rint(pixels / scale + zero), -128, 127).astype(np.int8)
        interpreter.set_tensor(taken["index"], narrow)
        interpreter.invoke()
        return (interpreter.get_tensor(given["index"]).astype(np.float32) - middle) * wide

    return run


def savedmodel(artifact, threads):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    module = tf.saved_model.load(artifact)
    return lambda pixels: module.serve(pixels).numpy()
