"""Keys, tokens and passwords in what is deployed."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.settings import TABLE
from tools.checks import declared
from tools.checks.base import App, Check, Finding, fail, ok

_SECRETS = (
    ("a private key", re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")),
    ("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (
        "an AWS secret key",
        re.compile(rb"(?i)\baws_secret_access_key[\"']?\]?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"),
    ),
    ("an Azure account key", re.compile(rb"\bAccountKey=[A-Za-z0-9+/]{60,}={0,2}")),
    ("a Google API key", re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a GitHub token", re.compile(rb"\bgh[pousr]_[0-9A-Za-z]{36,}\b|\bgithub_pat_[0-9A-Za-z_]{50,}")),
    ("a Hugging Face token", re.compile(rb"\bhf_[0-9A-Za-z]{30,}\b")),
    ("an API key", re.compile(rb"\bsk-(?:[a-z]+[0-9]*-)+[0-9A-Za-z_-]{24,}|\bsk-[0-9A-Za-z]{40,}\b")),
    ("a Slack token", re.compile(rb"\bxox[abprs]-[0-9A-Za-z-]{20,}\b")),
    ("a Heroku key", re.compile(rb"\bHRKU-[0-9A-Za-z_-]{30,}\b")),
    (
        "a password in a URL",
        re.compile(rb"\b[a-z][a-z0-9+]{2,}://[^\s:/@\"'<>{}$]+:[^\s:/@\"'<>{}$]{8,}@[a-z0-9-]+\.[a-z]"),
    ),
)
_NAMES = tuple(row.name for row in TABLE if row.secret and row.name not in ("MODEL_URL", "MODEL_BASE64"))
# In a file that is no program and no text, a setting with a value is a setting in use; a digest of a key is no secret.
_SETTING = re.compile(
    rb"(?m)(?:^\s*(?:export\s+|- )?|^\s*(?:ENV|ARG)\s+(?:\S+\s+)*|^\s+)[\"']?(?:"
    + "|".join(_NAMES).encode()
    + rb")[\"']?\s*[=:]\s*[\"']?(?![\w.-]+:sha256:)[^\s$<\"'{,][^\s<{,\"']{11,}"
)
_NO_SETTINGS = (".py", ".md", ".rst", ".html", ".js")
_HARMLESS = (".example", ".sample", ".template", ".dist")
_LARGEST_SCANNED = 2 << 20


def secrets(app: App) -> Finding:
    """No key, token or password in what is deployed; the value itself is never shown."""
    found: list[str] = []
    for name in app.files:
        path = app.root / name
        if _is_of_secrets(Path(name).name) and path.stat().st_size:
            found.append(f"{name} (a file of secrets)")
        elif path.stat().st_size <= _LARGEST_SCANNED:
            content = path.read_bytes()
            if b"\0" not in content[:1024]:
                found += _secrets_in(name, content)
    found += [
        f"{file} ({name} has a value)"
        for file, name, value in declared.every_setting(app.root)
        if file in app.deployed and name in _NAMES and value and ":sha256:" not in value
        if not any(item.startswith(f"{file}:") for item in found)
    ]
    if not found:
        return ok("none found")
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    fix = "take it out, change it where it came from, and set it on the platform: it stays in git's history"
    return fail(f"{', '.join(found[:4])}{more}", fix)


def _is_of_secrets(name: str) -> bool:
    if name == ".env" or name.startswith(".env."):
        return not name.endswith(_HARMLESS)
    return name in (".netrc", "credentials.json")


def _secrets_in(name: str, content: bytes) -> list[str]:
    found = []
    patterns = _SECRETS if name.endswith(_NO_SETTINGS) else (*_SECRETS, ("a secret in a setting", _SETTING))
    for what, pattern in patterns:
        match = pattern.search(content)
        if match:
            at = match.start() + len(match[0]) - len(match[0].lstrip())
            line = content.count(b"\n", 0, at) + 1
            found.append(f"{name}:{line} ({what})")
    return found


CHECKS = (Check("secrets", "no secrets in the repository", secrets),)
