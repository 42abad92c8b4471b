"""Clients that ask without pause while something happens to the server: none of their requests may be lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from runtime.worker import LINGER_SECONDS
from tests.server.conftest import PATIENCE, Server


@dataclass
class Load:
    """What came of it: answers by what they are, requests that failed, and each client's answers."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def wait_more(self, number: int) -> None:
        """Until each client has had so many answers more."""
        wanted = [count + number for count in self.counts]
        deadline = time.monotonic() + PATIENCE
        while any(have < want for have, want in zip(self.counts, wanted, strict=True)):
            assert not self.wrong, self.wrong[:5]
            assert time.monotonic() < deadline, f"the clients get no answers: {self.counts}"
            time.sleep(0.02)


@contextmanager
def under_load(
    server: Server, body: bytes, check: Callable[[requests.Response], str], clients: int = 4
) -> Iterator[Load]:
    """Post to /predict for the length of the block: half of the clients on kept connections, half on ever new ones.

    `check` says what an answer is, or raises.
    """
    load = Load(counts=[0] * clients)

    def ask(client: int) -> None:
        keep = bool(client % 2)
        session = requests.Session()
        begun = time.monotonic()
        while not load.stop.is_set():
            before, begun = begun, time.monotonic()
            try:
                load.answers[check(_post(session, server, body, before if keep else None))] += 1
                load.counts[client] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the request is lost
                load.wrong.append(repr(error))
            if not keep:
                session.close()
            time.sleep(0.002)
        session.close()

    running = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in running:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in running:
            thread.join()


def _post(session: requests.Session, server: Server, body: bytes, before: float | None) -> requests.Response:
    """`before`: when the last request was begun, on a kept connection."""
    try:
        return session.post(f"{server.url}/predict", data=body, timeout=PATIENCE)
    except requests.ConnectionError:
        # For as long a stopping worker keeps an idle connection. Where somebody stood still for longer it may be
        # closed, and any client asks again on a fresh one; sooner it may not.
        if before is None or time.monotonic() - before < LINGER_SECONDS:
            raise
        session.close()
        return session.post(f"{server.url}/predict", data=body, timeout=PATIENCE)
