"""FastAPI the way its documentation and the blog posts have it, with the quick choices: uvicorn[standard] and orjson.

    MODEL=digits.tflite uvicorn fastapi_server:app --workers 2 --no-access-log

The body is read with orjson and not through a pydantic model, which would cost more than all the rest.
"""

import os

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

try:
    from tflite_runtime.interpreter import Interpreter
except ImportError:
    from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=os.environ["MODEL"], num_threads=1)
interpreter.allocate_tensors()
(given,) = interpreter.get_input_details()
(result,) = interpreter.get_output_details()
shape = tuple(given["shape"])
app = FastAPI()


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.post("/predict")
async def predict(request: Request):
    global shape
    rows = np.asarray(orjson.loads(await request.body())["instances"], given["dtype"])
    if rows.shape != shape:
        interpreter.resize_tensor_input(given["index"], rows.shape)
        interpreter.allocate_tensors()
        shape = rows.shape
    interpreter.set_tensor(given["index"], rows)
    interpreter.invoke()
    predictions = interpreter.get_tensor(result["index"])
    return Response(
        orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )
