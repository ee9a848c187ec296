"""Waits until a runner's module has been imported, and calls what attaches the telemetry then.

Every Python below `ralph-otel run` executes this, and every one of an environment that `ralph-otel enable` has
prepared. So it imports only what a starting Python has imported already.
"""

# Annotations that Python 3.9 does not understand are texts: `__future__` would be imported just for them.
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 — as in sitecustomize
_NAME = "ralph_otel"
_ENTRY = "ralph_otel.runners.entry"
_ours: "dict[str, ModuleType]" = {}
_recorder = ""
_installed = False


def install(modules: str = "", recorder: str = "") -> None:
    """Wait for the modules that the launch names, without a launch for those that are given; once in a process.

    Args:
        modules: full names, with commas.
        recorder: the Python that records where there is no launch, see `ralph_otel.runners.standing`.
    """
    global _installed, _recorder
    launch = os.environ.get("RALPH_OTEL_LAUNCH", "").split("|", 3)
    names = launch[1] if len(launch) == 4 else modules
    if names and not _installed:
        _installed, _recorder = True, recorder
        sys.meta_path.insert(0, AfterImport(names.split(","), _attach))


def _attach(module: str) -> None:
    """Attach from our own files, whatever this environment has, and leave no trace of them among its modules.

    Where the program has imported these very files itself, they are shared: its threads may be importing more of them.
    """
    theirs = _modules()
    if _is_ours(theirs.get(_NAME)):
        __import__(_ENTRY, fromlist=["attach"]).attach(module, _recorder, theirs)
        return
    _take_out()
    if not _ours:
        _ours[_NAME] = package = type(sys)(_NAME)
        package.__path__ = [_PACKAGE]
    sys.modules.update(_ours)
    try:
        __import__(_ENTRY, fromlist=["attach"]).attach(module, _recorder, theirs)
    finally:
        _ours.update(_take_out())
        sys.modules.update(theirs)


def _is_ours(package: "ModuleType | None") -> bool:
    return [os.path.realpath(path) for path in getattr(package, "__path__", ())] == [os.path.realpath(_PACKAGE)]


def _modules() -> "dict[str, ModuleType]":
    found = list(sys.modules.items())
    return {name: module for name, module in found if name == _NAME or name.startswith(f"{_NAME}.")}


def _take_out() -> "dict[str, ModuleType]":
    taken = _modules()
    for name in taken:
        del sys.modules[name]
    return taken


class AfterImport:
    """A finder for `sys.meta_path` that lets others find a module, and calls once it has been executed.

    The call comes before the importing statement gets the module, so what it puts in place is what others import.

    Args:
        modules: the full names of the modules to wait for.
        call: called with a module's name. What it raises is swallowed.
    """

    def __init__(self, modules: "Iterable[str]", call: "Callable[[str], None]") -> None:
        self._modules = set(modules)
        self._call = call

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """What the other finders find; None for a module that is not waited for."""
        if name not in self._modules:
            return None
        self._modules.discard(name)  # while the others search: one of them may be of this class and ask us
        try:
            spec = _found_by_others(self, name, path, target)
        finally:
            self._modules.add(name)
        if spec is not None:
            self._watch(spec)
        return spec

    def _watch(self, spec: "ModuleSpec") -> None:
        """Make this loader, once, call us after it has executed the module."""
        loader = spec.loader
        if loader is None or isinstance(loader, type) or not hasattr(loader, "__dict__"):
            return  # a namespace, or a loader that is shared: nothing to attach to
        own = vars(loader)
        before = own.get("exec_module")  # of another that waits for this module

        def exec_module(module: "ModuleType") -> None:
            del own["exec_module"]
            if before is not None:
                own["exec_module"] = before
            loader.exec_module(module)
            self._modules.discard(spec.name)
            try:  # noqa: SIM105 — contextlib has not been imported by every Python that starts
                self._call(spec.name)
            except Exception:  # noqa: BLE001, S110 — the module works, only its telemetry does not
                pass

        own["exec_module"] = exec_module


def _found_by_others(
    us: AfterImport, name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        if finder is not us and find is not None:
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                return spec
    return None
