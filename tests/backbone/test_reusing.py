"""Results that are kept on disk: found again under the same circumstances alone, never trusted where damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrouter_sim.arrays import Floats
from fedrouter_sim.backbone import reusing
from fedrouter_sim.backbone.caching import RequestCache
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.reusing import FEWEST_ROWS, SWITCH, ReusedResults
from fedrouter_sim.backbone.sketching import Projection
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example

TEXTS = [f"text {number} é" for number in range(FEWEST_ROWS)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(SWITCH, raising=False)
    return tmp_path / "cache" / "results"


class Computing:
    """Counts what it computes: as many rows as texts, each its length."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, texts: Any) -> Floats:
        self.count += 1
        return np.array([[len(text), 0.1] for text in texts], dtype=np.float32)


def refuse(*given: Any) -> Floats:
    raise AssertionError("computed")


def reused(config: RunConfig, digest: str = "one", dtype: str = "float32", **most: int) -> ReusedResults:
    return ReusedResults(config, digest, dtype, RequestCache(0), **most)


def test_what_is_asked_again_is_not_computed_again(folder: Path, micro_config: Callable[..., RunConfig]) -> None:
    compute, config = Computing(), micro_config()
    first = reused(config).embeddings(TEXTS, compute)
    again = reused(replace(config, lr=0.5, seed=99, method="local")).embeddings(TEXTS, compute)
    assert compute.count == 1 and again.tobytes() == first.tobytes()
    assert not first.flags.writeable and not again.flags.writeable
    assert [file.suffix for file in folder.iterdir()] == [".safetensors"]
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "other",
    [
        {"digest": "two"},
        {"dtype": "bfloat16"},
        {"settings": {"max_tokens": 9}},
        {"settings": {"embedding": 1}},
        {"texts": [*TEXTS[1:], TEXTS[0]]},
        {"threads": 7},
        {"variable": "MKL_CBWR"},
        {"code": "new"},
    ],
)
def test_anything_that_its_bytes_depend_on_makes_it_another(
    folder: Path, micro_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    compute, config = Computing(), micro_config()
    reused(config).embeddings(TEXTS, compute)
    if "threads" in other:
        monkeypatch.setattr(reusing.torch, "get_num_threads", lambda: other["threads"])
    if "variable" in other:
        monkeypatch.setenv(other["variable"], "COMPATIBLE")
    if "code" in other:
        monkeypatch.setattr(reusing, "_code_digest", lambda: other["code"])
    named = {name: other[name] for name in ("digest", "dtype") if name in other}
    reused(replace(config, **other.get("settings", {})), **named).embeddings(other.get("texts", TEXTS), compute)
    assert compute.count == 2 and len(list(folder.iterdir())) == 2


def test_few_rows_are_not_kept_and_nothing_is_where_the_user_says_so(
    folder: Path, micro_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, config = Computing(), micro_config()
    reused(config).embeddings(TEXTS[1:], compute)
    monkeypatch.setenv(SWITCH, "0")
    assert not reused(config).embeddings(TEXTS, compute).flags.writeable
    assert compute.count == 2 and not folder.exists()


def test_a_damaged_file_is_computed_and_written_anew(folder: Path, micro_config: Callable[..., RunConfig]) -> None:
    compute, config = Computing(), micro_config()
    right = reused(config).embeddings(TEXTS, compute).tobytes()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    place = whole.index(np.float32(0.1).tobytes())
    for damaged in (b"", whole[:40], whole[:-3], whole[:place] + b"\0" + whole[place + 1 :]):
        file.write_bytes(damaged)
        assert reused(config).embeddings(TEXTS, compute).tobytes() == right
        assert file.read_bytes() == whole
    assert compute.count == 5


def test_what_was_not_asked_for_longest_gives_way(folder: Path, micro_config: Callable[..., RunConfig]) -> None:
    compute, config = Computing(), micro_config()
    reused(config).embeddings(TEXTS, compute)
    (first,) = folder.iterdir()
    size = first.stat().st_size
    small = reused(config, most_bytes=3 * size)
    for number in range(6):
        small.embeddings([*TEXTS, str(number)], compute)
        small.embeddings([*TEXTS, "0"], compute)  # asked for all the time
    assert not first.exists() and sum(file.stat().st_size for file in folder.iterdir()) <= 4 * size
    before = compute.count
    small.embeddings([*TEXTS, "0"], compute)
    assert compute.count == before
    tiny = reused(config, most_bytes=10)
    tiny.embeddings([*TEXTS, "more"], compute)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 4 * size


@pytest.mark.parametrize("place", ["a file", "no home"])
def test_a_folder_that_cannot_be_written_keeps_nothing(
    folder: Path, micro_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "a file":
        folder.parent.write_text("a file where the folder should be")
    else:
        monkeypatch.setenv("FEDROUTER_SIM_CACHE", "~no-such-user-here/x")
    compute = Computing()
    for _ in range(2):
        assert len(reused(micro_config()).embeddings(TEXTS, compute)) == len(TEXTS)
    assert compute.count == 2


def test_a_second_backbone_takes_embeddings_and_sketches_from_the_first(
    folder: Path, micro_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = micro_config()
    examples = [Example(text, f"answer {text}") for text in TEXTS]

    def asked(backbone: Backbone, seed: int = 1) -> tuple[bytes, bytes]:
        start, encoded = backbone.initial_adapter(seed), backbone.encoder.examples(examples)
        return backbone.embed(TEXTS).tobytes(), backbone.sketch(start, encoded, Projection(seed)).tobytes()

    first = asked(Backbone(config))
    second = Backbone(config)
    monkeypatch.setattr(second, "_embed", refuse)
    monkeypatch.setattr(second, "_sketch", refuse)
    assert asked(second) == first
    with pytest.raises(AssertionError, match="computed"):
        asked(second, seed=2)  # another start and projection
