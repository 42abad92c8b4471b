"""Transfers: what may go wrong with a model on its way, and where credentials go."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import re
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime import transfer
from runtime.errors import ArtifactError, SourceError
from runtime.settings import from_env
from tests import certificates, hosts
from tests.hosts import Host
from tests.runtime.fetching import DIGEST, MODEL, fetch, fetch_once, kept


@pytest.mark.parametrize(
    "fault",
    [hosts.status(500), hosts.status(503, Retry_After="0"), hosts.status(429), hosts.cut(0)],
    ids=["500", "503", "429", "cut"],
)
def test_a_passing_fault_is_tried_again(host: Host, folder: Path, fault: hosts.Fault) -> None:
    """Errors of the moment and a broken connection are retried within the time there is."""
    host.faults["/m.tflite"] = [fault]
    assert fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}").sha256 == DIGEST
    assert host.count("/m.tflite") == 2


def test_silence_is_tried_again(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that stops in the middle is given up after a while, and asked once more."""
    silent, over = threading.Event(), threading.Event()

    def fault(handler: hosts._Handler, body: bytes) -> None:
        silent.set()
        hosts.cut(10)(handler, body)
        over.wait(120)

    def pause(_: float) -> None:
        # The second try is not to fall to a slow machine: the host has met the first, and the limit is long again.
        assert silent.wait(60)
        monkeypatch.setattr(transfer, "_SILENCE_SECONDS", 60.0)

    monkeypatch.setattr(transfer, "_SILENCE_SECONDS", 0.6)
    monkeypatch.setattr(transfer, "time", SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=pause))
    host.faults["/m.tflite"] = [fault]
    assert fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}").sha256 == DIGEST
    over.set()
    assert host.count("/m.tflite") == 2


@pytest.mark.parametrize(
    ("code", "hint"), [(401, "MODEL_AUTH"), (403, "refused"), (404, "no such file"), (410, "410"), (400, "AWS_REGION")]
)
def test_a_lasting_refusal_is_told_at_once(host: Host, folder: Path, code: int, hint: str) -> None:
    """No time is lost on what no retry cures."""
    host.faults["/m.tflite"] = [hosts.status(code)] * 9
    with pytest.raises(SourceError, match=hint):
        fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}")
    assert host.count("/m.tflite") == 1


def test_a_broken_transfer_goes_on_where_it_stopped(host: Host, folder: Path) -> None:
    """Range asks for the rest only, under the ETag of the first part."""
    host.faults["/m.tflite"] = [hosts.cut(400_000), hosts.status(502)]
    assert fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}").sha256 == DIGEST
    asked = host.seen[-1].headers
    assert (asked["range"], asked["if-range"]) == ("bytes=400000-", f'"{DIGEST[:12]}"')


def test_a_broken_transfer_is_gone_on_with_by_a_later_process(host: Host, folder: Path) -> None:
    """What came before the process ended is not fetched again."""
    url = f"{host.url}/m.tflite#sha256={DIGEST}"
    host.faults["/m.tflite"] = [hosts.cut(300_000)]
    with pytest.raises(SourceError, match="broke off after 300000"):
        fetch_once(folder, url)
    assert fetch(folder, url).sha256 == DIGEST
    assert host.seen[-1].headers["range"] == "bytes=300000-"


def test_a_file_that_changed_halfway_is_fetched_anew(host: Host, folder: Path) -> None:
    """Two halves of different files never pass for one."""
    other = MODEL[::-1]
    host.files["/m.tflite"] = other

    def first_half_of_another(handler: hosts._Handler, _: bytes) -> None:
        hosts.cut(400_000)(handler, MODEL)

    host.faults["/m.tflite"] = [first_half_of_another]
    digest = hashlib.sha256(other).hexdigest()
    assert fetch(folder, f"{host.url}/m.tflite#sha256={digest}").sha256 == digest


def test_bytes_that_drip_do_not_outlive_the_deadline(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No single read times out, the whole does; here by a clock that goes on 20 s at each look."""
    now = itertools.count(time.monotonic(), 20.0)
    monkeypatch.setattr(transfer, "time", SimpleNamespace(monotonic=lambda: next(now), time=time.time))
    host.faults["/m.tflite"] = [hosts.drip(100, 0.05)]
    with pytest.raises(SourceError, match=r"not fetched in time \([0-9]+ bytes came\)"):  # of the 500 s it would take
        fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}", seconds=600.0)


@pytest.mark.parametrize("promised", [len(MODEL) - 5, len(MODEL) + 5], ids=["less", "more"])
def test_a_wrong_length_is_not_believed(host: Host, folder: Path, promised: int) -> None:
    """A body that is shorter or longer than it says is not the file."""

    def fault(handler: hosts._Handler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(promised))
        handler.end_headers()
        handler.wfile.write(body)

    host.faults["/m.tflite"] = [fault]
    with pytest.raises((SourceError, ArtifactError), match="has SHA-256" if promised < len(MODEL) else "broke off"):
        fetch_once(folder, f"{host.url}/m.tflite#sha256={DIGEST}")
    assert kept(folder) == []


def test_a_web_page_with_status_200_is_told_for_what_it_is(host: Host, folder: Path) -> None:
    """A login page or an error page in the model's place."""
    host.faults["/m.tflite"] = [hosts.instead(b"<!DOCTYPE html><title>Sorry</title>")]
    with pytest.raises(SourceError, match="web page in the model's place"):
        fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}")


@pytest.mark.parametrize("lengths", [True, False], ids=["promised", "found"])
def test_a_file_over_the_limit_is_not_taken_in(host: Host, folder: Path, *, lengths: bool) -> None:
    """By its length beforehand where it is told, by counting where it is not."""

    def fault(handler: hosts._Handler, body: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body)

    host.faults["/m.tflite"] = [] if lengths else [fault]
    with pytest.raises(ArtifactError, match="MODEL_MAX_BYTES, 102400 bytes"):
        fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}", MODEL_MAX_BYTES="100K")
    assert list(folder.glob("*.part")) == []


@pytest.mark.parametrize("auth", ["secret-token", "Bearer secret-token", "Authorization: Bearer secret-token"])
def test_a_token_goes_to_its_own_host(host: Host, folder: Path, auth: str) -> None:
    """MODEL_AUTH in each of its forms."""
    host.key = "Bearer secret-token"
    assert fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}", MODEL_AUTH=auth).sha256 == DIGEST


def test_credentials_do_not_follow_a_redirect_to_another_host(host: Host, folder: Path) -> None:
    """Token, own headers and the URL's password stay at home; the redirect itself is followed."""
    with hosts.run() as elsewhere:
        elsewhere.files["/real"] = MODEL
        host.faults["/m.tflite"] = [hosts.status(302, Location=f"{elsewhere.url}/real?sig=abc")]
        host.files["/index.json"] = b"{}"
        url = host.url.replace("http://", "http://user:pass@")
        auth = "X-Api-Key: secret\nCookie: session=secret"
        assert fetch(folder, f"{url}/m.tflite#sha256={DIGEST}", MODEL_AUTH=auth).sha256 == DIGEST
    assert host.seen[0].headers["x-api-key"] == "secret"
    assert host.seen[0].headers["authorization"].startswith("Basic ")
    assert not {"x-api-key", "cookie", "authorization"} & elsewhere.seen[0].headers.keys()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is verified; an own authority is trusted by SSL_CERT_FILE."""
    both, alone = certificates.make(tmp_path)
    with hosts.run(both) as host:
        host.files["/m.tflite"] = MODEL
        with pytest.raises(SourceError, match="its TLS certificate is not trusted"):
            fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}", seconds=60.0)  # told at once all the same
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", str(alone))
        assert fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}").sha256 == DIGEST


def test_a_broken_handshake_is_no_matter_of_certificates(host: Host) -> None:
    """It may be tried again; nobody blames a certificate that was never seen."""
    tried_once = transfer.Remote(host.url.replace("http:", "https:"), retry_until=0.0)
    with pytest.raises(transfer.TransientError, match="the TLS handshake failed"):
        transfer.read(tried_once, 1 << 20, time.monotonic() + 60.0)


def test_a_clock_that_is_off_is_made_up_for(host: Host, folder: Path) -> None:
    """A store refuses a signature whose time is far from its own; it is then signed by the store's clock."""
    host.skew = 7200.0
    host.files["/bucket/m.tflite"] = MODEL
    host.faults["/bucket/m.tflite"] = [hosts.status(403)]
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": host.url}
    assert fetch(folder, f"s3://bucket/m.tflite#sha256={DIGEST}", 60.0, **keys).sha256 == DIGEST
    sent = [dt.datetime.strptime(s.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z") for s in host.seen]
    assert 7100 < (sent[1] - sent[0]).total_seconds() < 7300
    assert all("Signature=" in request.headers["authorization"] for request in host.seen)


def test_a_clock_that_is_off_is_told(host: Host, folder: Path) -> None:
    """Where a signature in the URL cannot be made anew."""
    host.skew = -7200.0
    host.faults["/m.tflite"] = [hosts.status(403)]
    with pytest.raises(SourceError, match=r"this machine's clock is 7\d+ s off"):
        fetch(folder, f"{host.url}/m.tflite?X-Amz-Signature=x#sha256={DIGEST}")


def test_keys_and_names_with_blanks_are_signed_as_they_are_sent(host: Host, folder: Path) -> None:
    """Blanks and letters beyond ASCII in the path of s3://."""
    host.files["/bucket/my%20model/%C3%BC.tflite"] = MODEL
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": host.url}
    assert fetch(folder, f"s3://bucket/my model/ü.tflite#sha256={DIGEST}", 60.0, **keys).sha256 == DIGEST


def test_netrc_lends_no_passwords(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file of passwords for other purposes is not looked at."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}")
    assert "authorization" not in host.seen[0].headers


def test_redirects_in_circles_end(host: Host, folder: Path) -> None:
    """After a few."""
    host.faults["/m.tflite"] = [hosts.status(302, Location="/m.tflite")] * 50
    with pytest.raises(SourceError, match="in circles"):
        fetch(folder, f"{host.url}/m.tflite#sha256={DIGEST}")


@pytest.mark.parametrize("path", ["/m.tflite", "/none.tflite"])
def test_secrets_are_in_no_message(host: Host, folder: Path, path: str) -> None:
    """User, password, query and token stay out of what is told."""
    url = host.url.replace("http://", "http://user:hunter2@") + f"{path}?sig=hunter2#sha256={'ab' * 32}"
    with pytest.raises((SourceError, ArtifactError)) as caught:
        fetch(folder, url, MODEL_AUTH="X-Key: hunter2")
    assert "hunter2" not in str(caught.value)
    settings = from_env({"MODEL_URL": url, "MODEL_AUTH": "X-Key: hunter2"})
    assert "hunter2" not in repr(settings.models)


def test_no_connection_is_told_without_the_url_s_secrets(folder: Path) -> None:
    """A refused connection, with what a log may show."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/m"
        with pytest.raises(SourceError, match=f"^{re.escape(url)}: no connection$"):
            fetch_once(folder, f"{url}?sig=hunter2#sha256={DIGEST}")
