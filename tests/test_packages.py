"""What the installation says that it needs, and what is there."""

from collections.abc import Callable
from compileall import compile_dir
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

from fedrouter_sim import packages
from fedrouter_sim.packages import (
    Requirement,
    extras,
    import_names,
    installed_version,
    is_older,
    parse_requirement,
    required_python,
    requirements,
    without_byte_code,
)

Installer = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch>=2.6", Requirement("torch", "torch>=2.6", "2.6")),
        ("scikit-learn", Requirement("scikit-learn", "scikit-learn")),
        ("a.b_c <3, >=1.2.3", Requirement("a.b_c", "a.b_c <3, >=1.2.3", "1.2.3")),
        ("old (>=1.0)", Requirement("old", "old (>=1.0)", "1.0")),
        ("near~=1.4", Requirement("near", "near~=1.4", "1.4")),
        ("fixed==2.0.*", Requirement("fixed", "fixed==2.0.*", "2.0")),
        ("below<2", Requirement("below", "below<2")),
        ("gguf>=0.16; extra == 'gguf'", Requirement("gguf", "gguf>=0.16", "0.16", "gguf")),
        ("x; extra=='4bit'", Requirement("x", "x", None, "4bit")),
        ("ray[default,tune]>=2", Requirement("ray", "ray[default,tune]>=2", "2", None, ("default", "tune"))),
        ('w>=1; platform_system == "Windows"', Requirement("w", "w>=1", "1", conditional=True)),
        ('w; (sys_platform != "darwin") and extra == "x"', Requirement("w", "w", None, "x", conditional=True)),
        ('w; extra == "x" and python_version < "3.12"', Requirement("w", "w", None, "x", conditional=True)),
    ],
)
def test_a_requirement_is_read_with_its_lower_bound_and_extra(text: str, expected: Requirement) -> None:
    assert parse_requirement(text) == expected


@pytest.mark.parametrize("text", ["", ">=1.0", "; extra == 'x'"])
def test_a_line_without_a_name_is_no_requirement(text: str) -> None:
    with pytest.raises(ValueError, match="does not begin with the name of a package"):
        parse_requirement(text)


@pytest.mark.parametrize(
    ("found", "bound", "older"),
    [
        ("2.13.0+cpu", "2.6", False),
        ("2.5.1", "2.6", True),
        ("2.6", "2.6.0", False),
        ("2.6.0", "2.6", False),
        ("2.6.0rc1", "2.6", False),
        ("2.5.9.dev0+git1", "2.6", True),
        ("10.0", "9.9", False),
        ("0.18", "0.18.1", True),
        ("2024.1", "3", False),
        ("unknown", "1", True),
    ],
)
def test_versions_are_compared_by_their_numbers(found: str, bound: str, older: bool) -> None:
    assert is_older(found, bound) is older


def test_the_installations_own_requirements_are_all_read() -> None:
    texts = [text.partition(";")[0].strip() for text in requires("fedrouter-sim") or ()]
    assert [one.text for one in requirements()] == texts and len(texts) > 10
    always = {one.name: one for one in requirements() if one.extra is None}
    assert always["torch"].installed and not always["torch"].too_old
    assert set(extras()) == {one.extra for one in requirements()} - {None}


def test_a_package_may_be_missing_or_too_old(install: Installer) -> None:
    install("some-package", "1.5")
    assert installed_version("some-package") == "1.5" and installed_version("no-such-package") is None
    too_old = {text: parse_requirement(text).too_old for text in ("some-package>=1.5", "some-package>=1.6", "none>=1")}
    assert list(too_old.values()) == [False, True, False]


def test_extras_may_be_made_of_others_in_any_circle(install: Installer) -> None:
    install(
        "fedrouter-sim",
        "9.9",
        "Requires-Python: <4,>=3.12",
        *(f"Provides-Extra: {name}" for name in ("all", "one", "two", "none")),
        "Requires-Dist: always>=1",
        'Requires-Dist: fedrouter-sim[one,two]; extra == "all"',
        'Requires-Dist: own; extra == "all"',
        'Requires-Dist: x; extra == "one"',
        'Requires-Dist: y; extra == "two"',
        'Requires-Dist: fedrouter-sim[all]; extra == "two"',
    )
    names = {extra: [one.name for one in needed] for extra, needed in extras().items()}
    assert names == {"all": ["x", "y", "own"], "one": ["x"], "two": ["y", "x", "own"], "none": []}
    assert required_python() == "3.12"


def test_an_installation_that_says_nothing_needs_nothing(install: Installer) -> None:
    install("fedrouter-sim", "9.9")
    assert (requirements(), extras(), required_python()) == ([], {}, None)


def test_a_program_that_is_not_installed_has_no_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "DISTRIBUTION", "no-such-package")
    for ask in (requirements, extras, required_python):
        with pytest.raises(PackageNotFoundError):
            ask()


@pytest.mark.parametrize(
    ("name", "modules"),
    [("torch", ["torch"]), ("scikit-learn", ["sklearn"]), ("faiss-cpu", ["faiss"]), ("rouge-score", ["rouge_score"])],
)
def test_the_modules_of_a_package_are_known(name: str, modules: list[str]) -> None:
    assert import_names(name) == modules


def test_the_modules_are_those_of_its_files_or_none(install: Installer) -> None:
    folder = install("some-package", "1.5")
    assert import_names("some-package") == []
    files = ("some/__init__.py", "some/deep/__init__.py", "some.libs/x.so", "some_package-1.5.dist-info/METADATA")
    (folder / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    assert import_names("some-package") == ["some"]
    (folder / "top_level.txt").write_text("listed\n")
    assert import_names("some-package") == ["listed"]


def test_a_module_has_byte_code_once_it_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "compiled_once"
    folder.mkdir()
    (folder / "__init__.py").write_text("here = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert without_byte_code("compiled_once") == folder
    compile_dir(folder, quiet=1)
    assert without_byte_code("compiled_once") is None
    assert without_byte_code("not_there_at_all") is None
