"""Row formats, one file each: how a row becomes an example."""

from typing import TYPE_CHECKING

from fedrouter_sim.tables import Table

if TYPE_CHECKING:
    from fedrouter_sim.examples.formats.row_format import RowFormat

ROW_FORMATS: "Table[RowFormat]" = Table(
    kind="row format",
    flag="--format",
    base="fedrouter_sim.examples.formats.row_format:RowFormat",
    rows={
        "auto": "fedrouter_sim.examples.formats.auto:Auto",
        "columns": "fedrouter_sim.examples.formats.columns:InColumns",
        "chat": "fedrouter_sim.examples.formats.chat:Chat",
        "chat-each": "fedrouter_sim.examples.formats.chat:ChatEach",
        "pairs": "fedrouter_sim.examples.formats.pairs:Pairs",
    },
    own=False,
)


def find_row_format(name: str) -> "RowFormat":
    """Return a row format by its name.

    Raises:
        UserError: there is no such format.
    """
    return ROW_FORMATS.find(name)
