"""The order of the rooms: imports run one way, and the documents list the rooms as the code has them."""

import ast
import re
from pathlib import Path

import pytest

import fedrouter_sim

PACKAGE = Path(fedrouter_sim.__file__).parent
ROOT = PACKAGE.parents[1]

GROUND = (
    "showing errors version texts typed parsing paths arrays tensors rounding machine waiting packages randomness "
    "threads storage folders stopping bundled tables config"
).split()
ROOMS = (
    "examples partition adapters messages clustering routing backbone federation methods simulation answerer "
    "evaluation runs studies operations report cli"
).split()
OUTSIDE = ("__init__", "__main__", "metrics")  # public names, and `python -m`: they stand above all rooms


def modules() -> dict[str, Path]:
    """Return every module by its name below the package; a package goes by its folder's."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if "data" not in path.relative_to(PACKAGE).parts
    }


MODULES = modules()


def imported(name: str) -> set[str]:
    """Return the modules of ours that a module imports, at its top or within functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fedrouter_sim":
            base = (node.module or "").removeprefix("fedrouter_sim").removeprefix(".")
            for alias in node.names:
                deeper = f"{base}.{alias.name}".removeprefix(".")
                found.add(deeper if deeper in MODULES else base)
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("fedrouter_sim.") for a in node.names if a.name.startswith("fedrouter_sim.")}
    return found - {""}  # public names, which the package gives out itself


def room(name: str) -> str:
    top = name.split(".")[0]
    return "ground" if top in GROUND else top


def test_every_module_stands_in_a_room() -> None:
    assert {room(name) for name in MODULES} - {*OUTSIDE} <= {"ground", "", *ROOMS}
    assert set(ROOMS) <= {name.split(".")[0] for name in MODULES}
    assert set(GROUND) <= MODULES.keys()


@pytest.mark.parametrize("name", [name for name in MODULES if name and name not in OUTSIDE])
def test_imports_point_to_earlier_rooms_or_stay_in_their_own(name: str) -> None:
    order = ["ground", *ROOMS]
    here = order.index(room(name))
    later = {other for other in imported(name) if order.index(room(other)) > here}
    assert not later, f"{name} imports later rooms: {sorted(later)}"


def test_the_architecture_page_lists_the_rooms_in_their_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = [name.strip("/") for name in re.findall(r"^\| `([a-z]+/?)` \|", page, flags=re.MULTILINE)]
    assert listed == ROOMS


def test_no_operation_imports_another() -> None:
    for name in MODULES:
        if name.startswith("operations."):
            assert not {other for other in imported(name) if other.startswith("operations.")}, name


def test_no_two_modules_import_each_other() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for other in sorted(imported(name)):
            visit(other, (*path, name))
        done.add(name)

    for name in MODULES:
        if name:
            visit(name, ())
