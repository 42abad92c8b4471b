"""Keys, rates and origins, without a server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.access import GENERATED, Gate, client_address, cors_headers, given_key
from runtime.errors import NotFoundError, RateLimitError, SettingError, UnauthorizedError
from runtime.rates import Limiter

ROOT = Path(__file__).resolve().parents[2]
PLAIN = "a-key-of-my-own-making"
MADE = "dyn_" + "A" * 43
DIGEST = hashlib.sha256(MADE.encode()).hexdigest()


def keys(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/keys.py", *arguments]
    return subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=False)


def test_without_keys_anyone_may_ask() -> None:
    """No keys set: every route but the admin's is open, and admin routes are not there."""
    gate = Gate("", "")
    assert gate.check("key", {}) == ""
    assert gate.knows({})
    with pytest.raises(NotFoundError):
        gate.check("admin", {})


@pytest.mark.parametrize("header", [{"authorization": f"Bearer {PLAIN}"}, {"x-api-key": PLAIN}])
def test_a_key_opens_by_either_header(header: dict[str, str]) -> None:
    """The name of the key that was given is what the log and the rate go by."""
    assert Gate(f"web:{PLAIN},phone:sha256:{DIGEST}", "").check("key", header) == "web"


def test_two_clients_have_two_keys() -> None:
    """Each key is known by its own name; a digest stands for the key that it is of."""
    gate = Gate(f"web:{PLAIN} phone:sha256:{DIGEST.upper()}", "")
    assert gate.check("key", {"x-api-key": MADE}) == "phone"
    assert gate.check("key", {"x-api-key": PLAIN}) == "web"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {PLAIN}"},
        {"authorization": f"Bearer {PLAIN[:-1]}"},
        {"x-api-key": f"{PLAIN} x"},
        {"x-api-key": ""},
        {"x-api-key": "\udcff" * 20},
        {"x-api-key": DIGEST},
    ],
)
def test_anything_else_does_not_open(headers: dict[str, str]) -> None:
    """Whether a key was given at all is told apart, as the WWW-Authenticate header must."""
    with pytest.raises(UnauthorizedError) as caught:
        Gate(f"web:{PLAIN},phone:sha256:{DIGEST}", "").check("key", headers)
    assert caught.value.given == bool(given_key(headers))


def test_a_digest_never_stands_for_a_key_of_ones_own_making() -> None:
    """Whoever reads the digest of a guessable key can find the key: such a digest opens nothing."""
    weak = hashlib.sha256(PLAIN.encode()).hexdigest()
    with pytest.raises(UnauthorizedError):
        Gate(f"web:sha256:{weak}", "").check("key", {"x-api-key": PLAIN})


def test_the_admin_key_opens_everything_and_no_other_key_opens_admin() -> None:
    """Admin is separate from those who ask for predictions."""
    gate = Gate(f"web:{PLAIN}", f"boss:{MADE}")
    assert gate.check("admin", {"x-api-key": MADE}) == "boss"
    assert gate.check("key", {"x-api-key": MADE}) == "boss"
    with pytest.raises(UnauthorizedError):
        gate.check("admin", {"x-api-key": PLAIN})


@pytest.mark.parametrize(
    "text",
    ["justakeywithoutname", "web:short", "web:md5:00112233445566778899", "web:sha256:abc", f"a:{PLAIN},a:{MADE}"],
)
def test_a_bad_setting_is_told_without_the_key(text: str) -> None:
    """The message names the setting and what is wrong, and never what might be a secret."""
    with pytest.raises(SettingError, match="API_KEYS") as caught:
        Gate(text, "")
    for secret in ("justakeywithoutname", "short", "00112233445566778899", PLAIN):
        assert f":{secret}" not in str(caught.value)
        assert secret == "short" or secret not in str(caught.value)


def test_the_command_makes_keys_that_open() -> None:
    """What tools/keys.py prints as the setting lets in who has the key, and nobody else."""
    told = json.loads(keys("web", "phone", "--json").stdout)
    gate = Gate(told["setting"], "")
    assert [gate.check("key", {"x-api-key": made["key"]}) for made in told["keys"]] == ["web", "phone"]
    assert all(GENERATED.fullmatch(made["key"]) for made in told["keys"])
    assert told["keys"][0]["key"] not in told["setting"]
    assert told["keys"][0]["key"] != told["keys"][1]["key"]


def test_the_command_gives_the_digest_of_its_own_keys_only() -> None:
    """--hash reads the key from standard input, where no process list shows it, and refuses a guessable one."""
    assert keys("web", "--hash", given=f"{MADE}\n").stdout.strip() == f"web:sha256:{DIGEST}"
    refused = keys("--hash", given="password123\n")
    assert refused.returncode == 2
    assert "password123" not in refused.stderr


def test_a_list_of_origins_names_the_one_that_asks() -> None:
    """Only an origin of the list may read; caches are told that replies differ."""
    allowed = ("https://a.example", "https://b.example")
    assert cors_headers(allowed, "https://b.example")["Access-Control-Allow-Origin"] == "https://b.example"
    assert cors_headers(allowed, "https://b.example")["Vary"] == "Origin"
    assert cors_headers(allowed, "https://evil.example") == {"Vary": "Origin"}
    assert cors_headers(("*",), "https://any.example")["Access-Control-Allow-Origin"] == "*"


def test_a_client_cannot_choose_its_address() -> None:
    """X-Forwarded-For counts from the end, as far as proxies are trusted; without any it counts for nothing."""
    headers = {"x-forwarded-for": "6.6.6.6, 1.2.3.4"}
    assert client_address(headers, "10.0.0.1", 0) == "10.0.0.1"
    assert client_address(headers, "10.0.0.1", 1) == "1.2.3.4"
    assert client_address(headers, "10.0.0.1", 3) == "10.0.0.1"


def test_a_budget_is_spent_and_comes_back() -> None:
    """Three requests in a minute: the fourth is refused and told when to come back; other clients are not touched."""
    limiter = Limiter(3, 60.0, ("web",))
    for _ in range(3):
        limiter.take("web", 100.0)
    with pytest.raises(RateLimitError) as caught:
        limiter.take("web", 100.0)
    assert caught.value.retry_after == 20
    limiter.take("10.0.0.1", 100.0)
    limiter.take("web", 120.0)
    with pytest.raises(RateLimitError):
        limiter.take("web", 120.0)


def test_the_budget_is_one_for_all_processes() -> None:
    """Four processes that ask at once get together what one would get."""
    limiter = Limiter(50, 3600.0)
    children: list[int] = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            granted = 0
            for _ in range(40):
                try:
                    limiter.take("client", 100.0)
                    granted += 1
                except RateLimitError:
                    pass
            os._exit(granted)
        children.append(child)
    each = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sum(each) == 50
