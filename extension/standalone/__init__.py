"""Builds the layer and its one executable."""
