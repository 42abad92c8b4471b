"""LitServe as its documentation has it: a LitAPI with setup, decode_request, predict, encode_response.

MODEL=digits.tflite PORT=8000 python litserve_server.py
"""

import os

import litserve
import numpy as np

try:
    from tflite_runtime.interpreter import Interpreter
except ImportError:
    from ai_edge_litert.interpreter import Interpreter


class Api(litserve.LitAPI):
    def setup(self, device):
        self.interpreter = Interpreter(model_path=os.environ["MODEL"], num_threads=1)
        self.interpreter.allocate_tensors()
        (self.given,) = self.interpreter.get_input_details()
        (self.result,) = self.interpreter.get_output_details()
        self.shape = tuple(self.given["shape"])

    def decode_request(self, request):
        return np.asarray(request["instances"], self.given["dtype"])

    def predict(self, rows):
        if rows.shape != self.shape:
            self.interpreter.resize_tensor_input(self.given["index"], rows.shape)
            self.interpreter.allocate_tensors()
            self.shape = rows.shape
        self.interpreter.set_tensor(self.given["index"], rows)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.result["index"])

    def encode_response(self, output):
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/predict"), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
