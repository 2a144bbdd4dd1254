"""Rows of a data set, held by column."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rows:
    """Rows, held by column: a million rows are a few long lists, not a million dictionaries."""

    names: Collection[str]  # of all columns there are
    values: dict[str, list[Any]]  # of the columns that were wanted and are there; None where a row lacks it
    notes: tuple[str, ...] = ()  # on how the file was read, for the user

    @classmethod
    def collect(cls, rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> "Rows":
        """Collect the wanted columns of rows that come one after the other."""
        names: dict[str, None] = {}  # in the order in which they appear
        lists: list[tuple[str, list[Any]]] = [(column, []) for column in columns]
        for row in rows:
            if not row.keys() <= names.keys():
                names.update(dict.fromkeys(row))
            for column, values in lists:
                values.append(row.get(column))
        return cls(names, {column: values for column, values in lists if column in names})

    @classmethod
    def of_dataset(cls, dataset: Any, columns: Sequence[str]) -> "Rows":
        """Take the wanted columns of a `datasets.Dataset`."""
        names = dataset.column_names
        return cls(names, {column: dataset[column][:] for column in columns if column in names})
