"""Tests of the writer from outside: killed, without space, refused."""
