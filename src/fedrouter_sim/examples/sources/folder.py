"""A folder with files for each share."""

from dataclasses import dataclass
from pathlib import Path

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files import FILE_FORMATS
from fedrouter_sim.examples.reading import IN_PLACE_OF_TEST, Reading, shares_of, split_by_seed
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.sources.share_files import data_files, share_files, unused_files
from fedrouter_sim.examples.sources.source import Source


@dataclass(frozen=True)
class Folder(Source):
    """A folder with train and test files, and perhaps validation files; or with one file of any name."""

    name = "folder"
    path: Path

    @classmethod
    def of(cls, text: str) -> "Folder | None":
        """Take the path of a folder."""
        return cls(Path(text)) if Path(text).is_dir() else None

    def shares(self, reading: Reading) -> Shares:
        """Read the files of each share; a folder that has but training rows is split by seed."""
        files = share_files(self.path)
        if not files:
            return self._split(self._only_file("train"), reading)
        if "train" not in files:
            raise self._lacks("train")
        if unused := unused_files(self.path, (path for own in files.values() for path in own)):
            reading.note(f"files not read: {', '.join(unused[:5])}{', ...' if len(unused) > 5 else ''}")
        if files.keys() == {"train"}:
            return self._split(files["train"], reading)
        parts = {share: reading.files(own) for share, own in files.items()}
        return shares_of(str(self.path), "file", parts, {share: own[0].name for share, own in files.items()})

    def test(self, reading: Reading) -> tuple[Example, ...]:
        """Read the test files, or those of validation; of a folder with one file of another name, that."""
        files = share_files(self.path)
        if not files:
            return reading.files(self._only_file("test"))
        for share in ("test", IN_PLACE_OF_TEST):
            if share in files:
                return reading.files(files[share])
        raise self._lacks("test")

    def _split(self, files: list[Path], reading: Reading) -> Shares:
        names = f"{files[0].name} and {len(files) - 1} more" if len(files) > 1 else files[0].name
        reading.note(f"has no test file, so the rows of {names} are split by seed into train, validation and test")
        return split_by_seed(str(self.path), reading.files(files), reading.seed)

    def _only_file(self, share: str) -> list[Path]:
        """Return the one data file that there is, whatever its name."""
        files = data_files(self.path)
        if len(files) == 1:
            return files
        if files:
            names = ", ".join(path.name for path in files[:5]) + (", ..." if len(files) > 5 else "")
            raise UserError(f"{self._lacks(share)}; it has {names}: rename them, or give one file")
        raise self._lacks(share)

    def _lacks(self, share: str) -> UserError:
        *most, last = FILE_FORMATS.names
        return UserError(f"--data {self.path}: no {share} file ({', '.join(most)} or {last}) in this folder")
