"""TSV with a header."""

from fedrouter_sim.examples.files.delimited import Delimited


class Tsv(Delimited):
    """Tab-separated values; the first line names the columns."""

    name = ".tsv"
    separator = "\t"
