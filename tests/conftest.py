"""For all tests."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A slow machine is no finding: neither an example that takes long nor data that is long in the making.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
