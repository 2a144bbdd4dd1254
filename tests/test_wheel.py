"""A wheel, installed elsewhere, works like the checkout: embedded data and backbone included."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it; it sees this one's libraries, but the wheel comes first."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(place / "env", with_pip=False)
    python = place / "env" / "bin" / "python"
    target = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    wheel = next(place.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    (Path(target) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "env" / "bin"


@pytest.mark.long
def test_the_wheel_trains_on_its_own_data_and_backbone(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [installed / "python", "-c", "import fedrouter_sim.bundled as b; print(b.bundled('tiny-gpt2'))"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    ).stdout.strip()  # fmt: skip
    assert Path(where).is_relative_to(installed.parent)
    settings = (
        "--clients 4 --rounds 1 --local-steps 2 --batch-size 2 --examples-per-client 16 --test-examples-per-client 2"
    )
    subprocess.run(
        [installed / "fedrouter-sim", "train", *settings.split(), "--out", "run", "--quiet"], check=True, cwd=tmp_path
    )
    assert (tmp_path / "run" / "adapters" / "task_0" / "adapter_model.safetensors").is_file()


def test_the_wheel_has_all_of_the_embedded_files(installed: Path) -> None:
    package = next(installed.parent.glob("lib/python*/site-packages/fedrouter_sim"))
    data = {str(path.relative_to(ROOT / "data")) for path in (ROOT / "data").rglob("*") if path.is_file()}
    # What task discovery is measured on would only make the wheel larger.
    embedded = data - {"twelve/train.jsonl"}
    assert embedded < data
    assert {
        str(path.relative_to(package / "data")) for path in (package / "data").rglob("*") if path.is_file()
    } == embedded
    assert (package / "py.typed").is_file() and (package / "presets" / "paper.toml").is_file()


def test_the_wheel_has_every_module_template_and_preset(installed: Path) -> None:
    package = next(installed.parent.glob("lib/python*/site-packages/fedrouter_sim"))
    source = ROOT / "src" / "fedrouter_sim"
    written = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path for path in written if not (package / path).is_file()} == set()
    assert {path.suffix for path in written} >= {".py", ".toml", ".j2"}
