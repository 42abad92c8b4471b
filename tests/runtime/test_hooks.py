"""The user's own code around a model: what it may change, and how its errors are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime import hooks, model, trial
from runtime.errors import ArtifactError, HookError, RefusedError, RequestError
from runtime.model import Model
from runtime.settings import from_env
from tests import models

Around = Callable[..., Model]

SCALE = """
def before(inputs):
    return {"features": inputs["features"] / 10}
"""
TEXT = """
import numpy as np
from runtime.errors import RefusedError

INPUTS = {"text": ("string", (-1,))}
OUTPUTS = {"accepted": ("bool", (-1,)), "label": ("string", (-1,))}
EXAMPLE = {"text": np.array([b"1 2 3 4"], dtype=object)}

def before(inputs):
    rows = [[float(word) for word in text.split()] for text in inputs["text"]]
    if any(len(row) != 4 for row in rows):
        raise RefusedError("every text needs four numbers")
    return {"features": np.array(rows)}

def after(outputs):
    best = outputs["probabilities"].argmax(axis=1)
    return {"accepted": best == 0, "label": ["first" if index == 0 else "other" for index in best]}
"""


@pytest.fixture
def around(tmp_path: Path) -> Around:
    """`around(code, name="packed")`: the model of that name with hooks of this code."""

    def load(code: str, name: str = "packed") -> Model:
        path = tmp_path / f"hooks_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(code)
        return hooks.around(model.load(models.path(name)), hooks.load(str(path)))

    return load


def test_before_changes_what_the_model_gets(around: Around) -> None:
    """The same as the bare model asked with the changed values."""
    rows = np.array([[10, 20, 30, 40], [1, 2, 3, 4]], np.float32)
    bare = model.load(models.path("packed")).predict({"features": rows / 10})
    hooked = around(SCALE).predict({"features": rows})
    np.testing.assert_allclose(hooked["probabilities"], bare["probabilities"], atol=1e-6)


def test_clients_see_the_hooks_own_inputs_and_outputs(around: Around) -> None:
    """INPUTS and OUTPUTS take the place of the model's signature, strings and booleans included."""
    hooked = around(TEXT)
    assert [(spec.name, spec.dtype, spec.shape) for spec in hooked.signature.inputs] == [("text", "string", (-1,))]
    assert [spec.name for spec in hooked.signature.outputs] == ["accepted", "label"]
    outputs = hooked.predict({"text": np.array([b"1 2 3 4", b"9 0 0 0"], dtype=object)})
    bare = model.load(models.path("packed")).predict({"features": np.array([[1, 2, 3, 4], [9, 0, 0, 0]], np.float32)})
    best = bare["probabilities"].argmax(axis=1)
    assert outputs["accepted"].tolist() == (best == 0).tolist()
    assert outputs["label"].tolist() == [b"first" if index == 0 else b"other" for index in best]


def test_hooks_may_refuse_what_a_client_sent(around: Around) -> None:
    """A RequestError of the user's code is the client's to read, as it is."""
    with pytest.raises(RefusedError, match="four numbers"):
        around(TEXT).predict({"text": np.array([b"1 2"], dtype=object)})


def test_an_error_in_a_hook_is_told_with_its_line(around: Around) -> None:
    """The user's own error, its kind and where in the file it came from."""
    hooked = around("def before(inputs):\n    scale = 3\n    return {'features': inputs['feature'] / scale}\n")
    with pytest.raises(HookError, match=r"hooks_0\.py line 3, in before\(\): KeyError: 'feature'"):
        hooked.predict({"features": np.ones((1, 4), np.float32)})


def test_an_error_below_a_hook_is_told_with_the_hooks_line(around: Around) -> None:
    """Where a library raises, the line of the user's file that called it is what helps."""
    hooked = around("import numpy as np\n\ndef after(outputs):\n    return {'probabilities': np.reshape([1, 2], 3)}\n")
    with pytest.raises(HookError, match=r"line 4, in after\(\): ValueError"):
        hooked.predict({"features": np.ones((1, 4), np.float32)})


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def before(inputs):\n    return inputs['features']\n", "must return a dict"),
        ("def before(inputs):\n    return {'feature': inputs['features']}\n", "missing 'features'"),
        ("def before(inputs):\n    return {'features': 'four'}\n", "before()"),
        ("def before(inputs):\n    return {'features': inputs['features'][:, :3]}\n", "row of shape [4], got [3]"),
        ("def before(inputs):\n    return {'features': inputs['features'][0]}\n", "row of shape [4], got []"),
        ("def before(inputs):\n    return {'features': inputs['features'][:0]}\n", "is empty"),
        (
            "OUTPUTS = {'best': ('int64', (-1,))}\ndef after(outputs):\n    return {'best': [0.5]}\n",
            "after() gave",
        ),
        (
            "OUTPUTS = {'best': ('float32', (-1, 2))}\ndef after(outputs):\n    return {'best': [[0, 0, 1]]}\n",
            "output 'best': expected shape [any, 2], got [1, 3]",
        ),
        ("def after(outputs):\n    return {'best': outputs['probabilities'].argmax()}\n", "missing 'probabilities'"),
    ],
)
def test_what_a_hook_returns_is_checked(around: Around, code: str, told: str) -> None:
    """Another shape of answer than arrays by the right names is told as the hook's fault, not the client's."""
    with pytest.raises(HookError) as caught:
        around(code).predict({"features": np.ones((1, 4), np.float32)})
    assert told in str(caught.value)


def test_the_self_test_runs_the_hooks_on_a_golden_sample(around: Around) -> None:
    """A hook that fails on the model's own sample fails at boot and not at the first request."""
    around(SCALE).self_test()
    around(TEXT).self_test()
    with pytest.raises(HookError, match="line 2"):
        around("def after(outputs):\n    raise OSError('no such file')\n").self_test()


def test_a_trial_tells_a_broken_hook(tmp_path: Path) -> None:
    """The process that tries a new file runs the hooks too, whichever way it is started."""
    path = tmp_path / "hooks.py"
    path.write_text("def before(inputs):\n    return {'features': inputs['x']}\n")
    for attempt in (trial.forked, trial.spawned):
        with pytest.raises(ArtifactError, match=r"hooks\.py line 2, in before\(\): KeyError"):
            attempt(models.path("packed"), 60, hooks=str(path))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def before(inputs:\n    pass\n", "line 1: SyntaxError"),
        ("import numpy\n\nimport no_such_module\n", "line 3: ModuleNotFoundError"),
        ("x = 1\n", "neither before() nor after()"),
        ("before = 3\n", "must be a function"),
        ("INPUTS = ['text']\ndef before(inputs):\n    return inputs\n", "INPUTS must be like"),
        ("INPUTS = {'x': ('floaty', (1,))}\ndef before(inputs):\n    return inputs\n", "INPUTS must be like"),
    ],
)
def test_a_module_that_is_none_of_hooks_is_refused(tmp_path: Path, code: str, told: str) -> None:
    """What is wrong with the file is told in one line, with its number."""
    path = tmp_path / "broken.py"
    path.write_text(code)
    with pytest.raises(HookError) as caught:
        hooks.load(str(path))
    assert told in str(caught.value)


def test_a_missing_file_is_named() -> None:
    """A misspelt MODEL_HOOKS does not go unnoticed."""
    with pytest.raises(HookError, match=r"there is no file no_such_hooks\.py"):
        hooks.load("no_such_hooks.py")


def test_the_examples_of_the_docs_work(around: Around) -> None:
    """docs/hooks.md: scaling around a classifier, and texts to word ids with a threshold behind."""
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
    scaling, words = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    around(scaling).self_test()
    hooked = around(words, "embedding")
    hooked.self_test()
    outputs = hooked.predict({"text": np.array([b"good good bad", b"bad"], dtype=object)})
    assert (outputs["positive"].dtype, outputs["positive"].shape) == (np.dtype(bool), (2,))
    with pytest.raises(RefusedError, match="at least one word"):
        hooked.predict({"text": np.array([b" "], dtype=object)})


def test_a_file_of_that_name_is_the_default_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hooks.py in the working directory goes around MODEL_URL's model, and around no other unless it is named."""
    monkeypatch.chdir(tmp_path)
    environ = {"MODEL_URL": "a.tflite", "MODEL_URL_V2": "b.tflite", "MODEL_HOOKS_V3": "own", "MODEL_URL_V3": "c.tflite"}
    assert [one.hooks for one in from_env(environ).models] == ["", "", "own"]
    (tmp_path / "hooks.py").write_text(SCALE)
    assert [one.hooks for one in from_env(environ).models] == [str(tmp_path / "hooks.py"), "", "own"]
    assert from_env(environ | {"MODEL_HOOKS": "mine"}).models[0].hooks == "mine"


def test_no_hooks_are_no_wrapper() -> None:
    """Without hooks a model is served as it is, by the same object."""
    plain = model.load(models.path("mlp"))
    assert hooks.around(plain, hooks.load("")) is plain


def test_values_that_the_inner_check_refuses_stay_the_clients(around: Around) -> None:
    """What the client sent is checked against what the client may send before any hook sees it."""
    with pytest.raises(RequestError, match="shape"):
        around(SCALE).predict({"features": np.ones((1, 3), np.float32)})
