"""CSV with a header."""

from fedrouter_sim.examples.files.delimited import Delimited


class Csv(Delimited):
    """Comma-separated values; the first line names the columns."""

    name = ".csv"
    separator = ","
