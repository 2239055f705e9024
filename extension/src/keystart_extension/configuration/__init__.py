"""Finds and checks the configuration and gives it as a Plan; it fetches nothing.

find           where a configuration may be, and which one is taken
files          the same for files; what is read here is imported only then
yaml_document  YAML to nodes with positions; json_document the same for JSON
reading        typed reading of nodes; durations
settings       Keystart's own file; entries is its `secrets:` mapping, references the ids in it
inline         the variable KEYSTART_SECRETS
square         the config.yaml of Square's extension
"""

from .errors import ConfigurationError, Problem
from .find import load, load_file

__all__ = ["ConfigurationError", "Problem", "load", "load_file"]
