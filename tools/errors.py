"""Why an export stops. Each message says what is wrong with which file and what to do about it.

ExportError
  SourceFileError   the model file is none, is incomplete, or carries code that was not trusted
  DataError         the sample data, labels or names do not fit the model
  ConvertError      the converter refuses the model, or crashes on it
    FlexError       it needs operators that no small interpreter has
  ProofError        the target interpreter refuses the file, or answers something else than Keras
  UnprovenError     the target interpreter cannot be had on this machine
"""

from __future__ import annotations

from runtime.errors import DynoliteError


class ExportError(DynoliteError):
    """The export stops here, and nothing is written."""


class SourceFileError(ExportError):
    """The model file is none, is incomplete, or carries code that was not trusted."""


class DataError(ExportError):
    """The sample data, labels or names do not fit the model."""


class ConvertError(ExportError):
    """The converter refuses the model, or crashes on it."""


class FlexError(ConvertError):
    """The model needs TensorFlow's own operators, which no small interpreter has."""


class ProofError(ExportError):
    """The target interpreter refuses the file, or answers something else than Keras."""


class UnprovenError(ExportError):
    """The target interpreter cannot be had on this machine."""


KINDS: dict[str, type[ExportError]] = {
    kind.__name__: kind
    for kind in (
        ExportError,
        SourceFileError,
        DataError,
        ConvertError,
        FlexError,
        ProofError,
        UnprovenError,
    )
}
