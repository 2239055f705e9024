"""Tests of the writer from outside: killed, out of space, refused."""
