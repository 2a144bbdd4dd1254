"""The public names: each resolves, and importing the package loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fedrouter_sim

INIT = Path(fedrouter_sim.__file__)


def test_every_public_name_resolves_and_is_listed() -> None:
    for name in fedrouter_sim.__all__:
        assert getattr(fedrouter_sim, name).__class__ is not None
    assert set(fedrouter_sim.__all__) <= set(dir(fedrouter_sim))
    assert set(fedrouter_sim._MODULE_OF) == set(fedrouter_sim.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = fedrouter_sim.nothing


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    [block] = [node for node in ast.parse(INIT.read_text(encoding="utf-8")).body
               if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]  # fmt: skip
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == fedrouter_sim._MODULE_OF


def test_importing_the_package_and_the_commands_loads_nothing_heavy() -> None:
    heavy = (
        "torch",
        "transformers",
        "peft",
        "faiss",
        "datasets",
        "sklearn",
        "scipy",
        "matplotlib",
        "tensorboard",
        "ray",
    )
    script = (
        "import sys, fedrouter_sim, fedrouter_sim.cli; from fedrouter_sim import RunConfig, UserError;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_what_scripts_take_from_the_packages_is_there() -> None:
    from fedrouter_sim.backbone import Backbone, EncodedExample, OptimizerSettings
    from fedrouter_sim.examples import Example, render_prompt
    from fedrouter_sim.metrics import rouge

    assert {one.__module__ for one in (Backbone, EncodedExample, OptimizerSettings)} == {
        "fedrouter_sim.backbone.model", "fedrouter_sim.backbone.encoding", "fedrouter_sim.backbone.training"
    }  # fmt: skip
    assert render_prompt("plain", Example("a", "b").instruction) == "a\n"
    assert rouge("a b", "a").rouge1 == pytest.approx(2 / 3)
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        from fedrouter_sim.backbone import Nothing  # noqa: F401
