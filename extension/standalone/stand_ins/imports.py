"""The import system for frozen and built-in modules, in the place of `importlib._bootstrap`.

The interpreter calls the functions by these names. Nothing locks, because only one thread imports.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    sys: Any
    _imp: Any


# The loader that the interpreter names in `__main__`.
BuiltinImporter = None


def _find_and_load(name: str, import_: "Callable[[str], object]") -> "Any":
    """Loads a module, after the package that holds it, and returns it."""
    parent, _, child = name.rpartition(".")
    if parent and parent not in sys.modules:
        import_(parent)
    if name in sys.modules:  # the package has loaded it, or something keeps it from being loaded
        module = sys.modules[name]
        if module is None:
            raise ModuleNotFoundError(f"import of {name} halted; None in sys.modules", name=name)
        return module
    if parent and not hasattr(sys.modules[parent], "__path__"):
        raise ModuleNotFoundError(f"No module named {name!r}; {parent!r} is not a package", name=name)
    module = _load(name)
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def _load(name: str) -> "Any":
    is_builtin = _imp.is_builtin(name)
    found = None if is_builtin else _imp.find_frozen(name)
    if not is_builtin and found is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    is_package = found is not None and found[1]
    spec = _specify(name, "built-in" if is_builtin else "frozen", is_package=is_package)
    module = _imp.create_builtin(spec) if is_builtin else type(sys)(name)
    module.__spec__ = spec
    module.__package__ = spec.parent
    if is_package:
        module.__path__ = []
    spec._initializing = True
    sys.modules[name] = module
    try:
        if is_builtin:
            _imp.exec_builtin(module)
        else:
            exec(_imp.get_frozen_object(name), module.__dict__)  # noqa: S102 as Python's own does
    except BaseException:
        sys.modules.pop(name, None)
        raise
    finally:
        spec._initializing = False
    return sys.modules[name]  # a module may put another one in its place


def _specify(name: str, origin: str, *, is_package: bool) -> "Any":
    """Returns what the interpreter reads of a module that is loaded or loads."""
    parent = name if is_package else name.rpartition(".")[0]
    places: list[str] | None = [] if is_package else None
    return type(sys.implementation)(
        name=name, origin=origin, parent=parent, submodule_search_locations=places, _initializing=False
    )


def _handle_fromlist(
    module: "ModuleType", names: "Iterable[str]", import_: "Callable[[str], object]"
) -> "ModuleType":
    """Loads the modules among the names that something imports from a package."""
    for name in names:
        if name == "*":
            _handle_fromlist(module, getattr(module, "__all__", ()), import_)
        elif not hasattr(module, name):
            wanted = f"{module.__name__}.{name}"
            try:
                import_(wanted)
            except ModuleNotFoundError as error:
                if error.name != wanted:
                    raise
    return module


def _lock_unlock_module(name: str) -> None:
    """Returns at once: a module that still loads, loads in this thread."""


def _module_repr(module: "ModuleType") -> str:
    return f"<module {module.__name__!r}>"


def _install(system: "Any", imp: "Any") -> None:
    """Takes the two modules that this one needs, and sets `__spec__` of those that the interpreter has made."""
    global sys, _imp
    sys, _imp = system, imp
    for name, module in sys.modules.items():
        module.__spec__ = _specify(name, "built-in", is_package=False)


def _install_external_importers() -> None:
    """Adds none: the executable imports no files."""
