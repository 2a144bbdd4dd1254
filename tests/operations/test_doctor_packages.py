"""What `doctor` finds of installed packages, as they are and where something is amiss."""

import sys
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import torch
from doctor_checks import checks, state_of

from fedrouter_sim import __version__, packages
from fedrouter_sim.operations import doctor as module
from fedrouter_sim.operations.doctor import NOTE, OK, PROBLEM, doctor

Installer = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("plain_machine")


def test_every_declared_requirement_is_there_with_its_version() -> None:
    found = [check for check in doctor().checks if check.section == "Packages"]
    always = [text for text in requires("fedrouter-sim") or () if ";" not in text]
    needed = [text.split(">=")[0] for text in always]
    assert [check.name for check in found] == ["fedrouter-sim", "python", *needed, "byte code"]
    assert found[0].found.startswith(f"{__version__} in ") and found[0].values["version"] == __version__
    by_name = {check.name: check for check in found}
    assert by_name["torch"].found == torch.__version__
    assert by_name["torch"].values["least"] in next(text for text in always if text.startswith("torch"))


def test_missing_old_and_broken_packages_are_problems_with_the_command_that_mends_them(install: Installer) -> None:
    install(
        "fedrouter-sim", __version__, "Requires-Dist: no-such>=2", "Requires-Dist: aged>=1.10",
        "Requires-Dist: torn>=1", "Requires-Dist: sound>=1", 'Requires-Dist: elsewhere; sys_platform == "os2"',
    )  # fmt: skip
    install("aged", "1.9.9", code="")
    install("torn", "1.0", code="raise OSError('libtorn.so: cannot open\\nmore')")
    install("sound", "1.0", code="")
    found = checks()
    assert doctor().problems == ("no-such", "aged", "torn")
    assert state_of(found["no-such"], "missing", "pip install 'no-such>=2'") == PROBLEM
    assert state_of(found["aged"], "1.9.9, older than 1.10", "pip install 'aged>=1.10'") == PROBLEM
    assert state_of(found["torn"], "does not load: libtorn.so: cannot open -> pip install", "'torn>=1'") == PROBLEM
    assert state_of(found["sound"], "1.0 -> ") == OK
    assert state_of(found["elsewhere"], "missing; only some systems need it") == NOTE
    for name in ("data multitask", "backbone tiny-gpt2"):
        assert state_of(found[name], "to be read when the packages are in order") == NOTE


def test_packages_that_each_start_compiles_anew_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "without_byte_code", lambda name: None)
    assert state_of(checks()["byte code"], "kept") == OK
    monkeypatch.setattr(module, "without_byte_code", lambda name: Path("/site") / name)
    assert state_of(checks()["byte code"], "each start compiles", "-m compileall -q /site") == NOTE


def test_a_python_that_is_too_old_is_a_problem(install: Installer) -> None:
    install("fedrouter-sim", __version__, "Requires-Python: >=3.99")
    assert state_of(checks()["python"], "older than 3.99", "take Python 3.99 or newer") == PROBLEM


def test_metadata_of_another_version_or_none_is_noted(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("fedrouter-sim", "0.0.9")
    assert state_of(checks()["fedrouter-sim"], "0.0.9 is what was installed", "pip install -e .") == NOTE
    monkeypatch.setattr(packages, "DISTRIBUTION", "no-such-package")
    monkeypatch.setattr(module, "DISTRIBUTION", "no-such-package")
    found = checks()
    assert state_of(found["no-such-package"], "not installed as a package", "pip install -e .") == NOTE
    assert "torch" not in found and found["backbone tiny-gpt2"].state == OK


def test_where_torch_does_not_load_what_it_decides_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = checks()
    assert found["torch"].state == PROBLEM
    for name in ("device", "data type", "threads"):
        assert state_of(found[name], "not known: torch does not load") == NOTE
    assert found["memory"].state == OK


def test_an_extra_is_there_if_all_of_its_packages_are(install: Installer) -> None:
    install("aged", "1.9")
    install(
        "fedrouter-sim", __version__, *(f"Provides-Extra: {name}" for name in ("ready", "lacking", "late", "empty")),
        'Requires-Dist: rich>=1; extra == "ready"', 'Requires-Dist: numpy>=1; extra == "ready"',
        'Requires-Dist: rich>=1; extra == "lacking"', 'Requires-Dist: no-such>=1; extra == "lacking"',
        'Requires-Dist: aged>=2; extra == "late"', 'Requires-Dist: no-such; sys_platform == "x" and extra == "empty"',
    )  # fmt: skip
    found = checks()
    assert state_of(found["[ready]"], f"rich {packages.installed_version('rich')}, numpy ") == OK
    assert state_of(found["[lacking]"], "no-such is missing -> pip install 'fedrouter-sim[lacking]'") == NOTE
    assert state_of(found["[late]"], "aged 1.9 is older than 2", "pip install 'fedrouter-sim[late]'") == NOTE
    assert state_of(found["[empty]"], "needs nothing") == OK
    values: dict[str, Any] = found["[lacking]"].values
    assert values["installed"] is False and values["versions"]["no-such"] is None
    assert doctor().problems == ()
