"""A certificate that nobody vouches for, made with openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def make(folder: Path) -> tuple[Path, Path]:
    """For 127.0.0.1: the certificate with its key, as a server needs them, and the certificate alone. Skips the test
    where there is no openssl.
    """
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate")
    key, alone, both = (folder / name for name in ("key.pem", "certificate.pem", "both.pem"))
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    made = subprocess.run(
        ["openssl", *command.split(), "-keyout", str(key), "-out", str(alone)], capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr
    both.write_bytes(key.read_bytes() + alone.read_bytes())
    return both, alone
