"""The words that settings may have as values, where code goes by them."""

RAW, L2, STANDARDIZE, COSINE = NORMALIZATIONS = ("none", "l2", "standardize", "cosine")
"""The normalisations of embeddings."""

STANDARDIZING = (STANDARDIZE, COSINE)
"""Those that need the mean and deviation of all clients' embeddings."""

ON_BAD_ROW = ("error", "skip")
"""What happens to data with rows that cannot be used."""

AUTO = "auto"
"""What stands in place of a number that is to be found."""

LAST = "last"
"""The hidden state that a model's head reads, after the final norm."""

ANSWER, BACKBONE, MIX = UNSEEN_ANSWERS = ("answer", "bare", "mix")
"""What answers a text that counts as unseen: the adapter as ever; the bare backbone; the adapter at half its weight."""

COUNT, DROP = LATE = ("count", "drop")
"""What becomes of an update that comes a round late: it counts in that round, or not at all."""

BY_CLIENTS = "clients"
"""The learning rates that follow from how many clients train a pool."""

PER_GROUP = "per-group"
"""The budget under which each group of a client takes all of its local steps; else they share them."""

NONE = "none"
"""What stands in place of an attack, of a rule by which learning rates are scaled or tasks share, and of a split that
the data drift to, where there is none."""

PAPER_DATA = "paper"
"""Name of the four data sets of the FedRouter paper, from the Hub."""
