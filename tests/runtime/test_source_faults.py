"""Transfers from hosts that are too slow, lead astray or want to be remembered."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime import transfer
from runtime.errors import SourceError
from tests import hosts
from tests.hosts import Host
from tests.runtime.fetching import DIGEST, MODEL, fetch


def test_what_came_from_a_slow_host_is_kept(host: Host, folder: Path) -> None:
    """A transfer that is not done in time is gone on with by the next attempt."""
    host.faults["/m.tflite"] = [hosts.drip(1000, 0.05)]
    now = itertools.count(time.monotonic(), 20.0)  # a clock that goes on 20 s at each look
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "time", SimpleNamespace(monotonic=lambda: next(now), time=time.time))
        with pytest.raises(SourceError, match="not fetched in time"):
            fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}", seconds=600.0)
    (part,) = folder.glob("*.part")
    came = part.stat().st_size
    assert 0 < came < len(MODEL)
    assert fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}").sha256 == DIGEST
    assert host.seen[-1].headers["range"] == f"bytes={came}-"


@pytest.mark.parametrize("target", ["http://[::bad/", "http://x:99999/", "http://[::1", "http://x:port/"])
def test_a_redirect_to_no_url_is_told(host: Host, folder: Path, target: str) -> None:
    """At once; no retry makes one of it."""
    host.faults["/m.tflite"] = [hosts.status(302, Location=target)] * 9
    with pytest.raises(SourceError, match="redirects to what is no URL"):
        fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}")
    assert host.count("/m.tflite") == 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "mailto:a@b"])
def test_a_redirect_to_no_host_is_not_followed(host: Host, folder: Path, target: str) -> None:
    """Nor to another scheme."""
    host.faults["/m.tflite"] = [hosts.status(302, Location=target)] * 9
    with pytest.raises(SourceError, match="redirects away from https"):
        fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}")
    assert host.count("/m.tflite") == 1


def test_cookies_go_nowhere(host: Host, folder: Path) -> None:
    """Not along with a redirect to another port, and not back to the host that set one."""
    with hosts.run() as elsewhere:
        elsewhere.faults["/real"] = [hosts.status(302, Location=f"{host.url}/m.tflite", Set_Cookie="b=2")]
        host.faults["/m.tflite"] = [hosts.status(302, Location=f"{elsewhere.url}/real", Set_Cookie="a=1; Path=/")]
        assert fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}").sha256 == DIGEST
    assert (len(host.seen), len(elsewhere.seen)) == (2, 1)
    assert not [request for request in host.seen + elsewhere.seen if "cookie" in request.headers]
