"""The settings that the platform's own file declares: what the app will see there if nobody sets anything."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_FILES = {
    "heroku": "app.json",
    "render": "render.yaml",
    "fly": "fly.toml",
    "cloudrun": "deploy/cloud-run.yaml",
    "generic": "app.json",
}


def settings(root: Path, platform: str) -> dict[str, str]:
    """Names and values; none where the file is missing or damaged, which the check `platform-file` tells."""
    path = root / _FILES[platform]
    try:
        text = path.read_text(encoding="utf-8")
        return {name: str(value) for name, value in _read(path.name, text).items() if value not in (None, "")}
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, IndexError, TypeError):
        return {}


def _read(name: str, text: str) -> Mapping[str, Any]:
    if name == "app.json":
        told: dict[str, Any] = json.loads(text).get("env", {})
        return {key: value.get("value") if isinstance(value, dict) else value for key, value in told.items()}
    if name == "fly.toml":
        env: dict[str, Any] = tomllib.loads(text).get("env", {})
        return env
    told = yaml.safe_load(text)
    if name == "render.yaml":
        pairs = told["services"][0].get("envVars", [])
        return {pair["key"]: pair.get("value") for pair in pairs}
    pairs = told["spec"]["template"]["spec"]["containers"][0].get("env", [])
    return {pair["name"]: pair.get("value") for pair in pairs}
