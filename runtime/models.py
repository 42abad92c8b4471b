"""Which models this process serves, by name; which are ready, and why not.

Filled before the workers are forked, or by `runtime.boot` in the process itself. A worker never changes its models:
another version comes with new workers.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runtime.errors import ArtifactError, NotFoundError, NotReadyError
from runtime.model import Model


@dataclass(frozen=True, slots=True)
class Canary:
    """Another version beside the main one, for `percent` of a hundred clients.

    `note` says why it, or its new version, is missing; `wanted` which version that is.
    """

    percent: float
    model: Model | None = None
    serial: int = 1
    channels: tuple[str, ...] = ()
    note: str = ""
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """One served name: its model, or why there is none; `note` says what is amiss although a model is served.

    `wanted` is the version that should be served, where that is another one; `serial` is the version as a whole number
    (TensorFlow Serving's form), `channels` the index's names for it.
    """

    name: str
    model: Model | None = None
    reason: str = ""
    note: str = ""
    wanted: str = ""
    serial: int = 1
    channels: tuple[str, ...] = ()
    canary: Canary | None = None

    @property
    def each(self) -> tuple[State, ...]:
        """This state, and that of the canary beside it where one is loaded."""
        other = self.canary
        if other is None or other.model is None:
            return (self,)
        return self, State(self.name, other.model, serial=other.serial, channels=other.channels)


class Models:
    """The registry. The first name is the default model, which `/predict` asks.

    A model is expected under a key (its name, as far as that is known) before its artifact tells its name.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, State] = {}
        self._states: dict[str, State] = {}
        self.started = time.time()  # seconds since 1970, of the server and not of this worker

    def expect(self, key: str, reason: str, wanted: str = "") -> None:
        """A model is to come, of the version `wanted`; until then `reason` is told. One that is served stays.

        With a model served, an empty `reason` says that all is well.
        """
        state = self._by_key.get(key, State(key))
        if state.model is None:
            self._keep(key, replace(state, reason=reason, wanted=wanted))
        else:
            self._keep(key, replace(state, note=reason, wanted=wanted if reason else ""))

    def put(self, name: str, model: Model, expected: str = "", serial: int = 1, channels: tuple[str, ...] = ()) -> None:
        """Serve `model` as `name`, in the place of the key it was `expected` under.

        A model that is served already keeps its name. Raises ArtifactError if another model has it.
        """
        key = expected or name
        before = self._by_key.get(key, State(name))
        final = before.name if before.model else name
        if any(state.name == final for other, state in self._by_key.items() if other != key):
            raise ArtifactError(f"two models are called {final!r}: set MODEL_NAME")
        model.rename(final)
        canary = before.canary
        if canary and canary.model and canary.model.artifact.digest == model.artifact.digest:
            canary = None
        self._keep(key, State(final, model, serial=serial, channels=channels, canary=canary))

    def put_canary(self, key: str, canary: Canary | None) -> None:
        """Have this canary, or none, beside the model that is expected under `key`."""
        state = self._by_key.get(key, State(key))
        if canary and canary.model:
            canary.model.rename(state.name)
        self._keep(key, replace(state, canary=canary))

    def expect_canary(self, key: str, percent: float, note: str, wanted: str = "") -> None:
        """Tell why the canary beside the model under `key`, or its new version, is not there; "" when all is well."""
        before = self._by_key.get(key, State(key)).canary
        if note or before:
            self.put_canary(key, replace(before or Canary(percent), note=note, wanted=wanted if note else ""))

    def get(self, name: str | None = None, serial: int | None = None, channel: str | None = None) -> Model:
        """The model of that name (None: the default), of that serial or channel where they are given.

        Raises NotFoundError, NotReadyError.
        """
        state = self.state(name)
        if state.model and serial is None and channel is None:
            return state.model
        for one in state.each:
            if one.model and serial in (None, one.serial) and (channel is None or channel in one.channels):
                return one.model
        if state.model is None:
            raise NotReadyError(f"model {state.name!r} is not ready", retry_after=5)
        if serial is not None:
            raise NotFoundError(f"model {state.name!r} has no version {serial}")
        raise NotFoundError(f"model {state.name!r} has no version labelled {channel!r}")

    def choose(self, name: str | None, client: str) -> Model:
        """The model of that name for this client: always the same one, the canary for its share of all clients.

        Raises NotFoundError, NotReadyError.
        """
        state = self.state(name)
        canary = state.canary
        if canary and canary.model and state.model and _share(state.name, client) < canary.percent:
            return canary.model
        return self.get(name)

    def state(self, name: str | None = None) -> State:
        """The state under that name (None: the default); NotFoundError if there is none."""
        if name is None:
            if not self._states:
                raise NotReadyError("no model is configured: set MODEL_URL", retry_after=60)
            return next(iter(self._states.values()))
        try:
            return self._states[name]
        except KeyError:
            raise NotFoundError(f"there is no model {name!r}") from None

    def name(self, key: str) -> str:
        """What the model under a key is called, as far as that is known."""
        return self._by_key.get(key, State(key)).name

    def digest(self, key: str) -> str:
        """SHA-256 of the model that is served under a key, or of the canary beside it (`...@canary`); "" if none."""
        main, at, _ = key.partition("@")
        state = self._by_key.get(main, State(main))
        model = (state.canary.model if state.canary else None) if at else state.model
        return model.artifact.digest if model else ""

    @property
    def states(self) -> Mapping[str, State]:
        """Every name with its state, the default first."""
        return self._states

    @property
    def ready(self) -> bool:
        """Whether every model that is expected is there."""
        return bool(self._states) and all(state.model for state in self._states.values())

    def _keep(self, key: str, state: State) -> None:
        self._by_key = {**self._by_key, key: state}
        self._states = {state.name: state for state in self._by_key.values()}


def _share(name: str, client: str) -> float:
    """Where a client stands between 0 and 100: evenly spread, and the same at every server and every restart."""
    digest = hashlib.sha256(f"{name}\0{client}".encode()).digest()
    return int.from_bytes(digest[:4]) * 100 / 2**32
