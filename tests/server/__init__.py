"""Tests of real servers: gunicorn on a free port."""
