"""dynolite in production: a model URL in, answered predictions out. Never imports `tools` or TensorFlow."""

__version__ = "0.1.0"
