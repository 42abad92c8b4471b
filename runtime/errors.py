"""Every error of dynolite, one small tree. No HTTP in it: `runtime.core` holds the one table of status codes.

    DynoliteError
      SettingError        a setting is missing or bad                 the server does not start
      ArtifactError       not a model, damaged, wrong digest          the model is not ready
        SelfTestError     the interpreter does not give the samples   the model is not ready
        TrialEndedError   its trial was ended before it could tell    not ready, tried again
      SourceError         the model cannot be fetched                 not ready, tried again
      RequestError        the client's fault
        UnauthorizedError no key, or not the right one
        RateLimitError    this key (or address) asks too often
        SlowBodyError     the body does not come in time
        NotFoundError     no such model, version or path
        MethodError       the path takes another method
        NotAcceptableError  no media type the client takes
        TooLargeError     body or tensors over a limit
        MediaTypeError    a media type nothing here reads
        RefusedError      well-formed, but the model itself refuses it
        UnsupportedError  known to the protocol, but not done here
      OverloadError       no room now, later perhaps
      NotReadyError       the model is not (yet) there
      DeadlineError       too late
      GoneError           the client went away before its turn came
      PredictError        the interpreter failed on a valid request
        HookError         the user's own before() or after() failed

Each message is written for whoever can act on it: those under RequestError for the client, the rest for the operator.
"""

from __future__ import annotations


class DynoliteError(Exception):
    """The root: whatever dynolite raises on purpose is one of these."""


class SettingError(DynoliteError):
    """A setting is missing, unknown or has a bad value; the message names it."""


class ArtifactError(DynoliteError):
    """The file is no model, is damaged, has the wrong digest, or this interpreter cannot run it."""


class SelfTestError(ArtifactError):
    """The file loads, but the interpreter does not reproduce its golden samples."""


class TrialEndedError(ArtifactError):
    """The file's trial was killed, or had no more time: that says little of the file, and it is tried again."""


class SourceError(DynoliteError):
    """The model cannot be fetched from its URL; another try may succeed."""


class RequestError(DynoliteError):
    """The client's request is wrong; the message says what was expected and what came."""


class UnauthorizedError(RequestError):
    """The request carries no key, or one that does not open this; `given` tells which."""

    def __init__(self, message: str, *, given: bool) -> None:
        super().__init__(message)
        self.given = given


class RateLimitError(RequestError):
    """The request's key, or its address where there are no keys, asks too often; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SlowBodyError(RequestError):
    """The body did not come in its time, or ended before its announced length."""


class NotFoundError(RequestError):
    """The request names a model, version or path that is not here."""


class MethodError(RequestError):
    """The path exists but does not take this method; `allowed` lists those it takes."""

    def __init__(self, message: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed


class NotAcceptableError(RequestError):
    """The client accepts no media type in which the reply can be written."""


class TooLargeError(RequestError):
    """The body, or the tensors it asks for, are over a limit."""


class MediaTypeError(RequestError):
    """The body's media type or encoding is none that is read here."""


class RefusedError(RequestError):
    """The request is well-formed, but the model refuses its values (an embedding index out of range, say)."""


class UnsupportedError(RequestError):
    """The request is right by its protocol, but asks for what this server does not do."""


class OverloadError(DynoliteError):
    """No room for the request now; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReadyError(OverloadError):
    """The model that the request names is not loaded (yet)."""


class DeadlineError(DynoliteError):
    """The request could not be answered in its time."""


class GoneError(DynoliteError):
    """The client closed its connection before its turn came: nothing was computed, no one reads the reply."""


class PredictError(DynoliteError):
    """The interpreter failed on a valid request. Logged in full, told in brief."""


class HookError(PredictError):
    """The user's own before() or after() failed; the message names the file, the line and what it raised."""
