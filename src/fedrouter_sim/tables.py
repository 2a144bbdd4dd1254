"""Tables: what the names of a setting stand for, such as the methods of `--method`.

A table has one row per entry: its name and where its class lies. The class is imported when it is first asked for, so
that the names cost nothing. A user's own entry is a class in a Python file, given as FILE.py:CLASS. An entry whose
constructor takes arguments gets them from `--option name=value`.
"""

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from fedrouter_sim.errors import UserError, first_line

Entry = TypeVar("Entry")
Options = Mapping[str, str]

OWN_MODULES = "fedrouter_sim_own_"
"""What the names of the modules begin with that are files of the user's."""

_NAME = re.compile(r"\w[\w +.-]*")  # it names files and folders
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class Table(Generic[Entry]):
    """The entries of one kind.

    Attributes:
        kind: what an entry is, for messages: 'method'.
        flag: the flag that names one: '--method'.
        base: where the class lies that all entries descend from, as 'module:Class'.
        rows: name -> where the class of the entry lies, as 'module:Class'.
        own: whether the flag takes FILE.py:CLASS as well.
        older: the names that entries had in older versions -> their names; settings and runs of then still work.
        given: names of the arguments that whoever makes an entry gives; they are no options.
        beside: what else the flag may be, for messages.
    """

    kind: str
    flag: str
    base: str
    rows: dict[str, str]
    own: bool = True
    older: Mapping[str, str] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the shipped entries."""
        return tuple(self.rows)

    def add(self, entry: type[Entry]) -> None:
        """Add a class to the table, under its name, for as long as this process runs.

        Raises:
            ValueError: it does not stand at the top of a module, or there is an entry of its name.
        """
        name = getattr(entry, "name", "")
        if not name or name in self.rows or "." in entry.__qualname__:
            raise ValueError(f"{entry.__qualname__}: needs a name of its own, and to stand at the top of a module")
        self.rows[name] = f"{entry.__module__}:{entry.__name__}"

    def class_of(self, name: str) -> type[Entry]:
        """Return the class that a name, or FILE.py:CLASS, stands for; the file is run.

        Raises:
            UserError: there is no such entry, or the file does not run or does not hold such a class.
        """
        name = self.older.get(name, name)
        if name in self.rows:
            return self._at(self.rows[name])
        return self._own_class(name)

    def find(self, name: str, options: Options | None = None, **given: Any) -> Entry:
        """Make the entry that a name, or FILE.py:CLASS, stands for.

        Args:
            name: the value of the flag.
            options: `--option` values by name; an entry takes those that its constructor has parameters for.
            given: arguments that the constructor of every entry of this table takes.

        Raises:
            UserError: as `class_of`; or an option has a value of the wrong type, or the constructor refuses it.
        """
        return self.maker(name, options, **given)()

    def make(self, entry: type[Entry], options: Options | None = None, **given: Any) -> Entry:
        """Make an entry of a class, as `find` does.

        Raises:
            UserError: an option has a value of the wrong type, or the constructor of a user's own class fails.
        """
        arguments = given | self._arguments(entry, options or {}, given.keys())
        try:
            return entry(**arguments)
        except UserError:
            raise
        except Exception as error:
            if entry.__module__.startswith("fedrouter_sim."):
                raise
            said = f"{type(error).__name__}: {first_line(error)}"  # the user's own code: the user's to read
            raise UserError(f"{self.flag}: {entry.__name__} cannot be made ({said})") from error

    def maker(self, name: str, options: Options | None = None, **given: Any) -> Callable[[], Entry]:
        """Return what makes an entry, as `find` does, any number of times; a file is run once, now."""
        entry = self.class_of(name)
        return lambda: self.make(entry, options, **given)

    def options(self, name: str, texts: Sequence[str], given: Sequence[str]) -> dict[str, str]:
        """Return the `--option` values of a run, with those that are given now for the entry `name` over them.

        Raises:
            UserError: what is given is not name=value, or the entry has no such option.
        """
        new = parse_options(given)
        there = self.option_names(self.class_of(name))
        for option in new:
            if option not in there:
                known = f"it has {', '.join(there)}" if there else "it takes none"
                raise UserError(f"--option {option}={new[option]}: {self.kind} {name} has no such option; {known}")
        return parse_options(texts) | new

    def option_names(self, entry: type[Entry]) -> list[str]:
        """Return the names of the `--option`s that an entry takes."""
        return [name for name in _parameters(entry) if name not in self.given]

    def reference(self, entry: type[Entry]) -> str:
        """Return what the flag calls a class: its name if it is shipped, else FILE.py:CLASS.

        Raises:
            UserError: it stands at the top of no Python file, or has no name of its own.
        """
        name = getattr(entry, "name", "")
        if name in self.rows and self._at(self.rows[name]) is entry:
            return str(name)
        file = getattr(sys.modules.get(entry.__module__), "__file__", None)
        if file is None or not Path(file).is_file() or "." in entry.__qualname__:
            raise UserError(
                f"{self.kind} {entry.__qualname__}: stands at the top of no Python file, so its run could never be "
                "opened again; move the class into a file"
            )
        self._check_name(entry, f"{self.kind} {entry.__name__}: has")
        return f"{Path(file).resolve()}:{entry.__name__}"

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of the file of an own entry; None for shipped ones, or if the file is gone."""
        file = Path(name.rpartition(":")[0])
        return None if name in self.rows or not file.is_file() else hashlib.sha256(file.read_bytes()).hexdigest()

    def is_own(self, name: str) -> bool:
        """Say whether a name stands for the user's own, FILE.py:CLASS."""
        return name not in self.rows and name not in self.older and ":" in name

    def was_run(self, name: str) -> bool:
        """Say whether the file of an own entry has been run by this process already, as it is now: because its user
        named it, or imported it."""
        file = Path(name.rpartition(":")[0]).resolve()
        if not file.is_file():
            return False
        imported = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        return _state(file) in _were_run or str(file) in imported

    def _at(self, place: str) -> type[Entry]:
        module, _, name = place.partition(":")
        found: type[Entry] = getattr(import_module(module), name)
        return found

    def _own_class(self, name: str) -> type[Entry]:
        path, separator, wanted = name.rpartition(":")
        if not separator or not self.own:
            more = ", or give your own as FILE.py:CLASS" if self.own else ""
            raise UserError(f"{self.flag} {name}: choose one of {', '.join([*self.beside, *self.rows])}{more}")
        file = Path(path)
        if file.suffix != ".py" or not file.is_file():
            raise UserError(f"{self.flag} {name}: {path or 'nothing'} is no Python file; give FILE.py:CLASS")
        try:
            found = getattr(_run(file), wanted, None)
        except Exception as error:  # whatever the user's code raises is the user's to read, in one line
            raise UserError(
                f"{self.flag} {name}: {path} does not run ({type(error).__name__}: {first_line(error)})"
            ) from error
        base = self._at(self.base)
        if not (isinstance(found, type) and issubclass(found, base)):
            where = f"{base.__module__}.{base.__name__}"
            raise UserError(f"{self.flag} {name}: {path} has no class {wanted} that is a {where}")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
            raise UserError(f"{self.flag} {name}: {wanted} does not define {missing}, which every {self.kind} has to")
        self._check_name(found, f"{self.flag} {name}: {wanted} has")
        return found

    def _check_name(self, entry: type[Entry], begin: str) -> None:
        name = getattr(entry, "name", "")
        if not isinstance(name, str) or name in ("", *self.rows):
            raise UserError(f"{begin} no name of its own; set `name = ...` in the class")
        if not _NAME.fullmatch(name):
            allowed = "begins with a letter or digit and has letters, digits, spaces and _ + . - only"
            raise UserError(f"{begin} the name {name!r}; a name {allowed}")

    def _arguments(self, entry: type[Entry], options: Options, given: Any) -> dict[str, Any]:
        parameters = {name: kind for name, kind in _parameters(entry).items() if name not in given}
        return {name: _typed(name, options[name], kind) for name, kind in parameters.items() if name in options}


def parse_options(texts: Sequence[str]) -> dict[str, str]:
    """Return the values of `--option name=value` by name.

    Raises:
        UserError: a text is not of this form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise UserError(f"--option {text!r}: must be name=value, such as nearest=3")
        if name in found:
            raise UserError(f"--option {name}: is given twice; give it once")
        found[name] = value
    return found


def option_texts(options: Options) -> tuple[str, ...]:
    """Return `--option` values in the form that they are given in."""
    return tuple(f"{name}={value}" for name, value in options.items())


def _run(file: Path) -> ModuleType:
    """Run a Python file and return its module; asked again, it is run again only if it has changed."""
    state = _state(file.resolve())
    module = _run_once(*state)
    _were_run.add(state)
    return module


_were_run: set[tuple[Path, int, int]] = set()
"""The files that were run, with size and time of change."""


def _state(file: Path) -> tuple[Path, int, int]:
    stat = file.stat()
    return file, stat.st_size, stat.st_mtime_ns


@lru_cache
def _run_once(file: Path, size: int, mtime_ns: int) -> ModuleType:
    place = hashlib.sha256(str(file).encode()).hexdigest()[:8]  # two files may have one name
    spec = importlib.util.spec_from_file_location(f"{OWN_MODULES}{file.stem}_{place}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def _parameters(entry: type[Any]) -> dict[str, Any]:
    """Return name -> type of the parameters of a class's constructor; of those without annotation, of the default."""
    if entry.__init__ is object.__init__:
        return {}
    try:
        hints = get_type_hints(entry.__init__)
    except Exception:  # annotations that only type checkers can read
        hints = {}
    parameters = list(inspect.signature(entry.__init__).parameters.values())[1:]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {p.name: hints.get(p.name, str if p.default in (p.empty, None) else type(p.default)) for p in named}


def _typed(name: str, text: str, kind: Any) -> Any:
    """Return the value of an option as the type of its parameter: bool, int or float, or one of them or None; all
    others get the text."""
    kinds = [one for one in get_args(kind) if one is not type(None)] or [kind]
    if len(kinds) > 1 or kinds[0] not in (bool, int, float):
        return text
    try:
        return _TRUTHS[text.lower()] if kinds[0] is bool else kinds[0](text)
    except (ValueError, KeyError):
        raise UserError(f"--option {name}={text}: must be of type {kinds[0].__name__}") from None
