"""Tests of the extension: configuration, fetching, lifecycle, command line."""
