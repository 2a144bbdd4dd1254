"""Embedded data and backbone are found."""

from pathlib import Path

import pytest

import fedrouter_sim.bundled
from fedrouter_sim.bundled import bundled


def test_the_checkouts_data_is_found_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (bundled("multitask") / "train.jsonl").is_file()
    assert bundled("tiny-gpt2").is_absolute()


def test_data_inside_the_installed_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "fedrouter_sim"
    for root in (package, tmp_path):
        (root / "data" / "multitask").mkdir(parents=True)
    (tmp_path / "data" / "unseen").mkdir()
    monkeypatch.setattr(fedrouter_sim.bundled, "_PACKAGE", package)
    assert bundled("multitask") == package / "data" / "multitask"
    assert bundled("unseen") == tmp_path / "data" / "unseen"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-data"):
        bundled("no-such-data")
