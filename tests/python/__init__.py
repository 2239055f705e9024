"""Tests of the Python reader."""
