"""What is said of a job of TensorFlow's that ended without an answer."""

from __future__ import annotations

import signal

import pytest

from tools import jobs

ABORTED, EXIT_127 = int(signal.SIGABRT), 127 << 8


@pytest.mark.parametrize(
    ("status", "log", "said"),
    [
        (ABORTED, "terminate called after throwing std::bad_alloc", "crashed with SIGABRT (out of memory? --memory)"),
        (ABORTED, "Check failed", "TensorFlow crashed with SIGABRT"),
        (EXIT_127, "cannot allocate memory for thread-local data: ABORT", "(exit code 127) (out of memory? --memory)"),
        (EXIT_127, "nothing to say", "without an answer (exit code 127): nothing to say"),
    ],
)
def test_a_job_that_ran_out_of_memory_is_told_from_one_that_crashed(status: int, log: str, said: str) -> None:
    told = jobs.crashed(status, log)
    assert said in told
    assert ("--memory" in told) is ("--memory" in said)
