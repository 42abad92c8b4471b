"""Tests of the runtime's rooms, on whichever interpreter is installed."""
