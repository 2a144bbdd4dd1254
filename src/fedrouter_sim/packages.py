"""The packages that this installation says it needs, by its own metadata, and those that are there."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, metadata, requires, version
from importlib.util import cache_from_source, find_spec
from pathlib import Path

DISTRIBUTION = "fedrouter-sim"
"""The name by which pip knows this program."""

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?")
_LOWER_BOUND = re.compile(r"(?:>=|~=|==)\s*(\d[\w+-]*(?:\.[\w+-]+)*)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True)
class Requirement:
    """A package that is needed: always, or for an extra."""

    name: str
    text: str  # as pip takes it: 'torch>=2.6'
    least: str | None = None  # the lowest version that will do; None: any will
    extra: str | None = None  # that needs it; None: every run does
    extras: tuple[str, ...] = ()  # of the package itself, that are needed with it
    conditional: bool = False  # whether only some systems need it; on which is not looked into

    @property
    def installed(self) -> str | None:
        """The version that is there; None where the package is missing."""
        return installed_version(self.name)

    @property
    def too_old(self) -> bool:
        """Whether a version below the lowest that will do is there."""
        found = self.installed
        return found is not None and self.least is not None and is_older(found, self.least)


def parse_requirement(text: str) -> Requirement:
    """Read a line of a package's requirements, as "gguf>=0.16; extra == 'gguf'".

    Raises:
        ValueError: the line does not begin with a name.
    """
    match = _REQUIREMENT.match(text)
    if match is None:
        raise ValueError(f"{text!r} does not begin with the name of a package")
    name, extras, bounds, marker = (part or "" for part in match.groups())
    least, extra = _LOWER_BOUND.search(bounds), _EXTRA.search(marker)
    return Requirement(
        name,
        text.partition(";")[0].strip(),
        least[1] if least else None,
        extra[1] if extra else None,
        tuple(re.findall(r"[\w.-]+", extras)),
        conditional=bool(_EXTRA.sub("", marker).strip(" ()and")),
    )


def installed_version(name: str) -> str | None:
    """Return the version of a package that is installed; None where it is not."""
    try:
        return version(name) or None
    except PackageNotFoundError:
        return None


def is_older(found: str, bound: str) -> bool:
    """Say whether a version is below another. Only their numbers count: 2.6rc1 and 2.6+cpu are 2.6."""
    return _release(found) < _release(bound)


def required_python() -> str | None:
    """Return the lowest version of Python that this installation takes; None where it does not say.

    Raises:
        PackageNotFoundError: the program is not installed as a package.
    """
    for bounds in metadata(DISTRIBUTION).get_all("Requires-Python") or ():
        if found := _LOWER_BOUND.search(bounds):
            return found[1]
    return None


def requirements() -> list[Requirement]:
    """Return what this installation says that it needs, extras included.

    Raises:
        PackageNotFoundError: the program is not installed as a package.
    """
    return [parse_requirement(text) for text in requires(DISTRIBUTION) or ()]


def extras() -> dict[str, list[Requirement]]:
    """Return the extras of this installation, and what each needs; an extra may be made of others.

    Raises:
        PackageNotFoundError: the program is not installed as a package.
    """
    needed = requirements()
    return {extra: _of_extra(extra, needed, ()) for extra in metadata(DISTRIBUTION).get_all("Provides-Extra") or ()}


def import_names(name: str) -> list[str]:
    """Return the modules by which an installed package is imported; none where its files do not say.

    Raises:
        PackageNotFoundError: the package is missing.
    """
    usual = name.replace("-", "_")
    if find_spec(usual) is not None:
        return [usual]
    found = distribution(name)
    if listed := (found.read_text("top_level.txt") or "").split():
        return listed
    folders = {file.parts[0] for file in found.files or () if len(file.parts) == 2 and file.name == "__init__.py"}
    return sorted(folders)


def without_byte_code(module: str) -> Path | None:
    """Return the folder of a module for which Python keeps no byte code, so that each process compiles it anew; None
    where it is kept, or the module is missing."""
    spec = find_spec(module)
    if spec is None or spec.origin is None or Path(cache_from_source(spec.origin)).exists():
        return None
    return Path(spec.origin).parent


def _of_extra(extra: str, needed: Collection[Requirement], within: tuple[str, ...]) -> list[Requirement]:
    found = []
    for requirement in needed:
        if requirement.extra == extra and requirement.name == DISTRIBUTION:
            for other in requirement.extras:
                if other not in (extra, *within):
                    found += _of_extra(other, needed, (extra, *within))
        elif requirement.extra == extra:
            found.append(requirement)
    return found


def _release(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, without zeros at the end: 2.6.0rc1 is (2, 6)."""
    match = _RELEASE.match(text)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
