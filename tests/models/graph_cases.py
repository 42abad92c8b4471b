"""Models made of bare TensorFlow operators: what a file from elsewhere may hold."""

from __future__ import annotations

import tensorflow as tf

from tests.models.converter import concrete, from_function, from_signatures, spec


def two_inputs() -> bytes:
    """Two inputs, two outputs, names made in another order than the alphabet's."""

    def serve(b: tf.Tensor, a: tf.Tensor) -> dict[str, tf.Tensor]:
        left = tf.reduce_sum(a, axis=1, keepdims=True)
        right = tf.reduce_sum(b, axis=1, keepdims=True)
        return {"sum": left + right, "product": left * b}

    return from_function(serve, {"b": spec(None, 2), "a": spec(None, 3)})


def stateful() -> bytes:
    """A running total kept in a variable: 0 before each request if requests are kept apart."""
    module = tf.Module()
    module.total = tf.Variable(tf.zeros((1, 4)))

    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": module.total.assign_add(x)}

    return from_function(serve, {"x": spec(1, 4)}, module, _resources)


def bool_io() -> bytes:
    """Booleans in, booleans out."""
    return from_function(lambda flags: {"inverse": tf.logical_not(flags)}, {"flags": spec(None, 3, dtype=tf.bool)})


def scalar_out() -> bytes:
    """A batch of 1 in, outputs without a batch dimension out: one of ten values, one of rank 0."""

    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"vector": tf.reshape(x * 2.0, (10,)), "total": tf.reduce_sum(x)}

    return from_function(serve, {"x": spec(1, 10)})


def loop() -> bytes:
    """Eightfold, by doubling three times in a loop: control flow with subgraphs of its own."""

    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        doubled = tf.while_loop(lambda i, _: i < 3, lambda i, value: (i + 1, value * 2.0), [0, x])
        return {"y": doubled[1]}

    return from_function(serve, {"x": spec(1, 4)})


def joined() -> bytes:
    """Rows that share a run wrongly: what is written for one row is read for all of them."""

    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x - tf.reduce_max(x)}

    return from_function(serve, {"x": spec(None, 3)})


def whole() -> bytes:
    """No batch at all: a 5x5 matrix to its square."""

    def serve(matrix: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"square": tf.matmul(matrix, matrix)}

    return from_function(serve, {"matrix": spec(5, 5)})


def flex() -> bytes:
    """Needs TensorFlow's own kernels, which no small interpreter has."""
    return from_function(_determinant, {"matrix": spec(None, 3, 3)}, setup=_flex_operators)


def flex_static() -> bytes:
    """The same for one row at a time."""
    return from_function(_determinant, {"matrix": spec(1, 3, 3)}, setup=_flex_operators)


def custom_op() -> bytes:
    """Needs an operator that nobody registered."""

    def setup(converter: tf.lite.TFLiteConverter) -> None:
        converter.allow_custom_ops = True

    return from_function(_betainc, {"x": spec(None, 3)}, setup=setup)


def two_signatures() -> bytes:
    """The default signature is the second subgraph; plain `invoke` would run the other."""
    module = tf.Module()
    signatures = {
        "halve": concrete(lambda x: {"half": x / 2.0}, {"x": spec(None, 3)}),
        "serving_default": concrete(lambda x: {"double": x * 2.0}, {"x": spec(None, 3)}),
    }
    return from_signatures(module, signatures, ["halve", "serving_default"])


def float64_io() -> bytes:
    """Doubles at both ends."""

    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"half": tf.cast(tf.cast(x, tf.float32) * 0.5, tf.float64)}

    return from_function(serve, {"x": spec(None, 2, dtype=tf.float64)})


def int64_io() -> bytes:
    """64-bit integers at both ends, past what a double can hold."""
    return from_function(lambda x: {"next": x + 1}, {"x": spec(None, 2, dtype=tf.int64)})


def nan_out() -> bytes:
    """A logarithm: NaN below 0, minus infinity at 0."""
    return from_function(lambda x: {"log": tf.math.log(x)}, {"x": spec(None, 2)})


def _determinant(matrix: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"determinant": tf.linalg.det(matrix) + 1.0}


def _betainc(x: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"y": tf.math.betainc(tf.ones_like(x), tf.ones_like(x), x)}


def _flex_operators(converter: tf.lite.TFLiteConverter) -> None:
    ops = tf.lite.OpsSet
    converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS, ops.SELECT_TF_OPS]


def _resources(converter: tf.lite.TFLiteConverter) -> None:
    converter.experimental_enable_resource_variables = True


CASES = {
    case.__name__: case
    for case in (
        two_inputs,
        stateful,
        bool_io,
        scalar_out,
        loop,
        joined,
        whole,
        flex,
        flex_static,
        custom_op,
        two_signatures,
        float64_io,
        int64_io,
        nan_out,
    )
}
