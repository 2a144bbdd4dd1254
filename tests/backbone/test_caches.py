"""Where caches lie."""

from pathlib import Path

import pytest

from fedrouter_sim.backbone.caches import STEPS, cache_folder


def test_the_cache_is_the_users_and_may_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FEDROUTER_SIM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(STEPS) == tmp_path / ".cache" / "fedrouter-sim" / "steps"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    assert cache_folder(STEPS) == tmp_path / ".cache" / "fedrouter-sim" / "steps"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(STEPS) == tmp_path / "xdg" / "fedrouter-sim" / "steps"
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "own"))
    assert cache_folder(STEPS) == tmp_path / "own" / "steps"
