"""Parquet, read by the library `datasets`."""

import glob
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.hf_datasets import quiet_datasets
from fedrouter_sim.examples.rows import Rows


class Parquet(FileFormat):
    """Apache Parquet."""

    name = ".parquet"

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Read all rows; nothing of the user's data stays behind in a shared cache."""
        import datasets  # slow to import, and only needed here

        files = glob.escape(str(path))
        with tempfile.TemporaryDirectory() as cache, quiet_datasets():
            rows = datasets.load_dataset(
                "parquet", data_files=files, split="train", cache_dir=cache, keep_in_memory=True
            )
            return Rows.of_dataset(rows, columns) if len(rows) else Rows((), {})
