"""Data sets of the Hub: from a folder with copies, from the Hub, and from its cache; never with network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.sources.hub import HubData

CARD = """---
configs:
- config_name: one
  data_files:
  - {split: train, path: one/train.jsonl}
  - {split: test, path: one/test.jsonl}
- config_name: two
  data_files: two/rows.jsonl
---
"""


def write(path: Path, values: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": value}) + "\n" for value in values))


def texts(splits: Any) -> dict[str, list[str]]:
    return {name: rows["text"][:] for name, rows in splits.items()}


class Hub:
    """A Hub in place of the real one: `folder` holds its data sets, `answer` is what asking for one raises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer: Exception | None = None
        self.cached: set[str] = set()
        self.timeouts: list[float | None] = []
        self.loaded: list[tuple[str, bool]] = []  # repository, from the cache alone
        self.downloads: list[dict[str, Any]] = []

    def dataset_info(self, repository: str, timeout: float | None = None) -> None:
        huggingface_hub.utils.validate_repo_id(repository)
        self.timeouts.append(timeout)
        if self.answer:
            raise self.answer

    def snapshot_download(self, repository: str, *, local_files_only: bool, **options: Any) -> str:
        if local_files_only and repository not in self.cached:
            raise LocalEntryNotFoundError("not cached")
        self.downloads.append(options)
        return str(self.folder / repository)

    def load_dataset(self, load: Callable[..., Any]) -> Callable[..., Any]:
        def from_here(place: str, *what: Any, revision: str | None = None, **options: Any) -> Any:
            if Path(place).exists():
                return load(place, *what, **options)
            offline = datasets.config.HF_HUB_OFFLINE
            if offline and place not in self.cached:
                raise ConnectionError(f"Couldn't reach '{place}'\non the Hub")
            self.loaded.append((place, offline))
            return load(str(self.folder / place), *what, **options)

        return from_here


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path / "hub")
    for split in ("train", "test"):
        write(hub.folder / f"org/several/one/{split}.jsonl", [f"one {split}"])
    write(hub.folder / "org/several/two/rows.jsonl", ["two rows"])
    (hub.folder / "org/several/README.md").write_text(CARD)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(datasets, "load_dataset", hub.load_dataset(datasets.load_dataset))
    return hub


FILES = HubData("org/several", files={"test": "one/test*"}, revision="refs/convert/parquet")


def refusal(data: HubData, hub_folder: str = "") -> str:
    with pytest.raises(UserError) as caught:
        data.splits(hub_folder)
    assert "\n" not in str(caught.value) and data.repository in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("org/name", HubData("org/name")),
        ("nyu-mll/glue:qqp", HubData("nyu-mll/glue", "qqp")),
        ("o.r_g/n.a-m_e:c.o-n_f", HubData("o.r_g/n.a-m_e", "c.o-n_f")),
        ("name", None),
        ("a/b/c", None),
        ("/a/b", None),
        ("a/b:", None),
        ("a/b:c:d", None),
        ("a b/c", None),
    ],
)
def test_what_may_be_a_data_set_of_the_hub(source: str, found: HubData | None) -> None:
    assert HubData.of(source) == found
    assert found is None or str(found) == source


def test_a_copy_is_read_from_its_folder_and_the_hub_is_not_asked(hub: Hub) -> None:
    assert texts(HubData("org/several", "one").splits(str(hub.folder))) == {
        "train": ["one train"],
        "test": ["one test"],
    }
    assert texts(HubData("org/several", "two").splits(str(hub.folder))) == {"train": ["two rows"]}
    assert texts(FILES.splits(str(hub.folder))) == {"test": ["one test"]}
    assert not hub.timeouts and not hub.loaded and not hub.downloads


def test_a_data_set_is_loaded_from_the_hub_after_one_short_question(hub: Hub) -> None:
    assert texts(HubData("org/several", "two").splits()) == {"train": ["two rows"]}
    assert hub.loaded == [("org/several", False)]
    (timeout,) = hub.timeouts
    assert timeout is not None and timeout <= 5


def test_of_single_files_nothing_else_is_downloaded(hub: Hub) -> None:
    assert texts(FILES.splits()) == {"test": ["one test"]}
    assert hub.downloads == [
        {"repo_type": "dataset", "revision": "refs/convert/parquet", "allow_patterns": ["one/test*"]}
    ]
    assert not hub.loaded


@pytest.mark.parametrize("data", [HubData("org/several", "one"), FILES])
def test_without_network_the_cache_serves_and_nothing_else_is_tried(hub: Hub, data: HubData) -> None:
    hub.answer, hub.cached = ConnectionError("no network"), {"org/several"}
    assert texts(data.splits())["test"] == ["one test"]
    assert hub.loaded in ([], [("org/several", True)])
    assert not datasets.config.HF_HUB_OFFLINE  # as it was


@pytest.mark.parametrize("data", [HubData("org/several", "one"), FILES])
def test_without_network_and_cache_the_message_names_data_set_and_remedy(hub: Hub, data: HubData) -> None:
    hub.answer = ConnectionError("no network\nat all")
    message = refusal(data)
    assert f"--data {data}" in message and "out of reach (ConnectionError)" in message and "--hub-folder" in message
    assert len(hub.timeouts) == 1


def test_a_data_set_that_the_hub_lacks_is_refused(hub: Hub) -> None:
    hub.answer = RepositoryNotFoundError.__new__(RepositoryNotFoundError)  # its arguments differ by release
    assert "no file or folder here, and the Hub has no such data set" in refusal(HubData("org/none"))


def test_what_can_be_no_hub_id_is_refused_without_asking(hub: Hub) -> None:
    assert "no id of a Hub data set" in refusal(HubData("../data"))
    assert not hub.timeouts


def test_a_folder_without_the_copy_is_refused_with_what_to_put_there(hub: Hub) -> None:
    message = refusal(HubData("org/other", files={"train": "a/*.parquet"}), str(hub.folder))
    assert f"--hub-folder {hub.folder}: has no folder org/other" in message and "a/*.parquet" in message


@pytest.mark.parametrize(("config", "said"), [(None, "'one', 'two'"), ("three", "Available: ['one', 'two']")])
def test_a_configuration_that_is_missing_or_unknown_is_refused_with_those_there_are(
    hub: Hub, config: str | None, said: str
) -> None:
    for folder in ("", str(hub.folder)):
        assert said in refusal(HubData("org/several", config), folder)


def test_what_is_not_readable_is_one_line_and_nothing_on_standard_error(
    hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    (hub.folder / "org/several/two/rows.jsonl").write_text("{broken")
    message = refusal(HubData("org/several", "two"), str(hub.folder))
    assert f"--data org/several:two: cannot be loaded from {hub.folder / 'org/several'}" in message
    (hub.folder / "org/code").mkdir()
    (hub.folder / "org/code/code.py").write_text("import os")
    assert "scripts are no longer supported" in refusal(HubData("org/code"), str(hub.folder))
    assert capfd.readouterr().err == ""


def test_progress_bars_are_as_they_were_afterwards(hub: Hub) -> None:
    HubData("org/several", "two").splits(str(hub.folder))
    assert not datasets.are_progress_bars_disabled()
