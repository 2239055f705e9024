"""Tests of the built layer in an empty root."""
