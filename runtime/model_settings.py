"""Which models the settings ask for: MODEL_URL, and MODEL_URL_<NAME> with what belongs to each.

MODEL_URL=https://example.com/digits/index.json         served under the artifact's own name, or MODEL_NAME
MODEL_URL_V2=s3://models/digits/index.json              served as `v2`
MODEL_VERSION_V2=1.2.0|latest                           that model's version; so SHA256, CANARY, AUTH, BASE64, HOOKS
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtime import casters
from runtime.errors import SettingError

_CASTS: Mapping[str, Callable[[str], Any]] = {
    "url": casters.text,
    "sha256": casters.sha256,
    "version": casters.version,
    "canary": casters.canary,
    "auth": casters.auth,
    "base64": casters.text,
    "hooks": casters.text,
}
_NAMED = re.compile(rf"MODEL_({'|'.join(_CASTS).upper()})_([A-Za-z0-9_]{{1,100}})")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model that is asked for. `name` "": the artifact's own; `label` is how messages name its settings."""

    name: str
    label: str
    url: str = field(default="", repr=False)
    sha256: str = ""
    version: str = "latest"
    canary: tuple[str, float] | None = None
    auth: Mapping[str, str] = field(default_factory=dict, repr=False)
    base64: str = field(default="", repr=False)
    hooks: str = ""

    @property
    def is_index(self) -> bool:
        """Whether the URL is an index of versions and not one artifact."""
        return is_index(self.url)


def is_index(url: str) -> bool:
    """Whether a URL is an index of versions: its path ends in .json."""
    return url.partition("?")[0].partition("#")[0].endswith(".json")


def is_named(variable: str) -> bool:
    """Whether an environment variable is a setting of one model by name."""
    return _NAMED.fullmatch(variable) is not None


def read(environ: Mapping[str, str], values: Mapping[str, Any]) -> tuple[ModelSettings, ...]:
    """Every model asked for, the default first. `values` are those of the table of settings that were given.

    Raises SettingError.
    """
    given = {field: values[f"MODEL_{field.upper()}"] for field in _CASTS if f"MODEL_{field.upper()}" in values}
    found = []
    if given.get("url") or given.get("base64"):
        given.setdefault("hooks", str(Path("hooks.py").resolve()) if Path("hooks.py").is_file() else "")
        found.append(_checked(ModelSettings(values.get("MODEL_NAME", ""), "", **given), given))
    shared = {field: given[field] for field in ("version", "auth") if field in given}
    for name, own in sorted(_named(environ).items()):
        label = f"_{name.upper()}"
        if not (own.get("url") or own.get("base64")):
            raise SettingError(f"MODEL_{next(iter(own)).upper()}{label} is set, but not MODEL_URL{label}")
        if "version" in shared and is_index(own.get("url", "")):
            own.setdefault("version", shared["version"])
        if own.get("url"):
            own.setdefault("auth", shared.get("auth", {}))
        found.append(_checked(ModelSettings(name, label, **own), own))
    if not found and shared.get("auth"):
        raise SettingError("MODEL_AUTH is set, but not MODEL_URL")
    _keep_auth_home(found, shared.get("auth", {}))
    names = [model.name or "model" for model in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SettingError(f"two models are called {twice[0]!r}: set MODEL_NAME to another name")
    return tuple(found)


def _named(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for variable, value in environ.items():
        match = _NAMED.fullmatch(variable)
        if match is None or not value.strip():
            continue
        field = match[1].lower()
        try:
            found.setdefault(match[2].lower(), {})[field] = _CASTS[field](value.strip())
        except ValueError as error:
            raise SettingError(f"{variable}: {error}") from None
    return found


def _checked(model: ModelSettings, given: Mapping[str, Any]) -> ModelSettings:
    """The model with the digest taken off its URL; SettingError where its settings do not go together."""
    label = model.label
    try:
        _ = urlsplit(model.url).port
    except ValueError:
        raise SettingError(f"MODEL_URL{label} is not a URL: look at its host and port") from None
    if model.url and model.base64:
        raise SettingError(f"MODEL_URL{label} and MODEL_BASE64{label} are both set: keep one of them")
    url, mark, fragment = model.url.rpartition("#sha256=")
    if mark:
        try:
            digest = casters.sha256(fragment)
        except ValueError as error:
            raise SettingError(f"MODEL_URL{label}: after '#sha256=' {error}") from None
        if model.sha256 not in ("", digest):
            raise SettingError(f"MODEL_SHA256{label} and the digest in MODEL_URL{label} differ: keep one of them")
        model = replace(model, url=url, sha256=digest)
    for setting in ("version", "canary"):
        if setting in given and not model.is_index:
            raise SettingError(
                f"MODEL_{setting.upper()}{label} needs an index of versions: MODEL_URL{label} must end in index.json"
            )
    return model


def _keep_auth_home(models: list[ModelSettings], shared: Mapping[str, str]) -> None:
    """A credential that is meant for one host must not be sent to another."""
    takers = [model for model in models if shared and model.auth == shared and model.url]
    if len({urlsplit(model.url)[:2] for model in takers}) > 1:
        labels = ", ".join(f"MODEL_AUTH{model.label}" for model in takers)
        raise SettingError(f"MODEL_AUTH would be sent to several hosts: set {labels}, each for its own host")
