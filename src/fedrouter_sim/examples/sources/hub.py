"""Data sets of the Hugging Face Hub, through `datasets`: from the Hub, its cache, or a folder with copies of them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files import is_data_file
from fedrouter_sim.examples.hf_datasets import quiet_datasets
from fedrouter_sim.examples.reading import (
    IN_PLACE_OF_TEST,
    SHARE_NAMES,
    Reading,
    shares_of,
    split_by_seed,
    split_of,
)
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.sources.source import Source

_ID = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.-]+))?")
_HUB_TIMEOUT = 5.0  # seconds until a Hub that does not answer counts as out of reach
_MOST_SAID = 300  # characters of another library's message


@dataclass(frozen=True)
class HubData(Source):
    """Where a data set lies in the Hub: as a configuration of a repository, or as single files of it."""

    name = "hub"
    repository: str  # org/name
    config: str | None = None
    files: Mapping[str, str] | None = None  # split -> pattern of its files in the repository
    revision: str | None = None  # branch or commit; a copy in a folder is taken as it is

    @classmethod
    def of(cls, text: str) -> "HubData | None":
        """Take `org/name` or `org/name:config`, but no name of a file."""
        found = _ID.fullmatch(text)
        return cls(found[1], found[2]) if found and not is_data_file(text) else None

    def shares(self, reading: Reading) -> Shares:
        """Read the splits train, validation and test, in so far as they are there."""
        splits = self.splits(reading.hub_folder)
        named = {share: split for share in SHARE_NAMES if (split := split_of(share, splits))}
        if "train" not in named:
            raise UserError(f"--data {self}: has no split 'train'; it has {', '.join(splits)}")
        parts = {share: self._examples(split, splits, reading) for share, split in named.items()}
        if parts.keys() == {"train"}:
            reading.note("has no split 'test', so its rows are split by seed into train, validation and test")
            return split_by_seed(str(self), parts["train"], reading.seed)
        return shares_of(str(self), "split", parts, named)

    def test(self, reading: Reading) -> tuple[Example, ...]:
        """Read the split test or, without one, validation."""
        splits = self.splits(reading.hub_folder)
        for share in ("test", IN_PLACE_OF_TEST):
            if split := split_of(share, splits):
                return self._examples(split, splits, reading)
        raise UserError(f"--data {self}: has no split 'test'; it has {', '.join(splits)}")

    def _examples(self, split: str, splits: Mapping[str, Any], reading: Reading) -> tuple[Example, ...]:
        return reading.dataset(splits[split], f"--data {self}, split {split}")

    def __str__(self) -> str:
        return f"{self.repository}:{self.config}" if self.config else self.repository

    def splits(self, hub_folder: str = "") -> Mapping[str, Any]:
        """Return the splits by name, each a `datasets.Dataset`.

        Args:
            hub_folder: a folder with copies, as FOLDER/org/name; empty for the Hub, whose cache serves without network.

        Raises:
            UserError: there is no such data set, or none that can be loaded, or the Hub is out of reach; at once.
        """
        if hub_folder:
            folder = Path(hub_folder) / self.repository
            if not folder.is_dir():
                raise UserError(
                    f"--hub-folder {hub_folder}: has no folder {self.repository}; put a copy of that data set there"
                    f"{self._files_needed()}, or leave --hub-folder out to load it from the Hub"
                )
            return self._load_folder(folder)
        failure = _ask_hub(self.repository)
        if failure is None:
            return self._load_hub(cached_only=False)
        try:
            return self._load_hub(cached_only=True)
        except UserError:
            raise UserError(
                f"--data {self}: no file or folder here, not in the cache of Hub data sets, and the Hub is out of "
                f"reach ({failure}); load it once with network, or name a folder with copies by --hub-folder"
            ) from None

    def _load_hub(self, cached_only: bool) -> Mapping[str, Any]:
        if self.files:  # `datasets` does not find single files in its cache again
            return self._load_folder(self._snapshot(cached_only))
        with _offline() if cached_only else nullcontext():
            return self._load(self.repository, self.config, revision=self.revision)

    def _load_folder(self, folder: Path) -> Mapping[str, Any]:
        files = dict(self.files) if self.files else None
        # Part of a data set will do, whatever its card says of the whole.
        return self._load(str(folder), self.config, data_files=files, verification_mode="no_checks")

    def _load(self, *what: Any, **options: Any) -> Mapping[str, Any]:
        import datasets  # slow to import, and only needed here

        with quiet_datasets():
            try:
                found: Mapping[str, Any] = datasets.load_dataset(*what, **options)
            except Exception as error:  # builders raise what they like
                raise self._refusal(error, f" from {what[0]}") from None
        return found

    def _snapshot(self, cached_only: bool) -> Path:
        """Return a folder with the files, from the Hub or its cache alone."""
        from huggingface_hub import snapshot_download

        patterns = list(self.files.values()) if self.files else None
        try:
            with quiet_datasets():
                return Path(
                    snapshot_download(
                        self.repository,
                        repo_type="dataset",
                        revision=self.revision,
                        allow_patterns=patterns,
                        local_files_only=cached_only,
                    )
                )
        except Exception as error:  # connection faults come in many types
            raise self._refusal(error) from None

    def _refusal(self, error: Exception, place: str = "") -> UserError:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_SAID]
        return UserError(f"--data {self}: cannot be loaded{place}{self._files_needed()}: {said}")

    def _files_needed(self) -> str:
        return f" (files {', '.join(self.files.values())})" if self.files else ""


def _ask_hub(repository: str) -> str | None:
    """Ask once, and shortly, whether the Hub has a data set: loading would retry for half a minute without network.

    Returns:
        None if it has, and what stands in the way if it is out of reach.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        HfApi().dataset_info(repository, timeout=_HUB_TIMEOUT)
    except RepositoryNotFoundError:
        raise UserError(
            f"--data {repository}: no file or folder here, and the Hub has no such data set (or it is private: log in)"
        ) from None
    except HFValidationError:
        raise UserError(f"--data {repository}: no file or folder here, and no id of a Hub data set") from None
    except Exception as error:  # connection faults come in many types, all of them mean the same here
        return type(error).__name__
    return None


@contextmanager
def _offline() -> Iterator[None]:
    """Have `datasets` look into its cache alone."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before
