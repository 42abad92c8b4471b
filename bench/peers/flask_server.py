"""Flask as the tutorials have it: `request.get_json()`, `jsonify(...tolist())`, gunicorn's threads.

    MODEL=digits.tflite gunicorn --workers 2 --threads 4 flask_server:app

A lock stands around the interpreter: without one, threads answer wrong.
"""

import os
import threading

import numpy as np
from flask import Flask, jsonify, request

try:
    from tflite_runtime.interpreter import Interpreter
except ImportError:
    from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=os.environ["MODEL"], num_threads=1)
interpreter.allocate_tensors()
(given,) = interpreter.get_input_details()
(result,) = interpreter.get_output_details()
shape = tuple(given["shape"])
lock = threading.Lock()
app = Flask(__name__)


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.post("/predict")
def predict():
    global shape
    rows = np.array(request.get_json()["instances"], given["dtype"])
    with lock:
        if rows.shape != shape:
            interpreter.resize_tensor_input(given["index"], rows.shape)
            interpreter.allocate_tensors()
            shape = rows.shape
        interpreter.set_tensor(given["index"], rows)
        interpreter.invoke()
        predictions = interpreter.get_tensor(result["index"])
    return jsonify(predictions=predictions.tolist())
