"""Tests of the packages as users install them."""
