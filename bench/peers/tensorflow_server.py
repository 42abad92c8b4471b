"""Flask with full TensorFlow, as the heavy tutorials have it. The model file is a .keras: `MODEL=digits.keras`.

MODEL=digits.keras gunicorn --workers 2 --threads 4 tensorflow_server:app
"""

import os

import keras
import numpy as np
from flask import Flask, jsonify, request

model = keras.saving.load_model(os.environ["MODEL"], compile=False)
app = Flask(__name__)


@app.get("/health")
def health():
    return jsonify(status="ok")


@app.post("/predict")
def predict():
    rows = np.array(request.get_json()["instances"], "float32")
    return jsonify(predictions=model.predict(rows, verbose=0).tolist())
