"""The import system for files, in the place of `importlib._bootstrap_external`: the executable imports from none."""


def _install(_bootstrap: object) -> None:
    """Adds no finder: frozen and built-in modules are all."""
