"""How the layer and its one executable are built."""
