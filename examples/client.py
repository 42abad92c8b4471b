"""A client of a dynolite server: NumPy arrays in, NumPy arrays out, over requests alone. Copy it into your project.

client = Client("https://digits.example.com", key="dyn_...")
probabilities = client.predict(images)               # one input, one output: array to array
outputs = client.predict({"a": a, "b": b})           # several: arrays by name

python examples/client.py http://localhost:8000 six.npy
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

Array = NDArray[Any]


class RefusedError(Exception):
    """The server refused the request; `status` is HTTP's, the message the server's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Asks one model. Keeps its connection; one for each thread."""

    def __init__(self, url: str, key: str = "", model: str = "", timeout: float = 30.0, tries: int = 3) -> None:
        """`model` "": the server's default; `tries`: how often a 429 or 503 is asked again, as Retry-After says."""
        self._url = url.rstrip("/") + (f"/predict/{model}" if model else "/predict")
        self._timeout, self._tries = timeout, tries
        self._session = requests.Session()
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def predict(self, inputs: Array | Mapping[str, Array]) -> Any:
        """The model's outputs for these inputs, rows in dimension 0: an array for an array, a dict for a dict."""
        body, several = io.BytesIO(), isinstance(inputs, Mapping)
        if isinstance(inputs, Mapping):
            np.savez(body, **inputs)
        else:
            np.save(body, inputs)
        kind = "application/x-npz" if several else "application/x-npy"
        reply = self._post(body.getvalue(), {"Content-Type": kind, "Accept": "application/x-npz"})
        with np.load(io.BytesIO(reply.content), allow_pickle=False) as file:
            outputs = {name: file[name] for name in file.files}
        return outputs if several or len(outputs) > 1 else next(iter(outputs.values()))

    def _post(self, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        for left in reversed(range(self._tries)):
            reply = self._session.post(self._url, data=body, headers=headers, timeout=self._timeout)
            if reply.status_code not in (429, 503) or not left:
                break
            time.sleep(min(float(reply.headers.get("Retry-After", 1)), 10.0))
        if not reply.ok:
            is_json = reply.headers.get("Content-Type", "").startswith("application/json")
            raise RefusedError(reply.status_code, reply.json().get("error", "") if is_json else reply.text[:200])
        return reply


if __name__ == "__main__":
    print(Client(sys.argv[1]).predict(np.load(sys.argv[2], allow_pickle=False)))
