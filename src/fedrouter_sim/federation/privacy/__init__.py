"""Client-level differential privacy: what leaves clients, how it is bounded and noised, and what it adds up to."""

UPDATES = "updates"
SUMS = "standardisation sums"
CENTROIDS = "centroids"
SKETCHES = "gradient sketches"
KINDS = (UPDATES, SUMS, CENTROIDS, SKETCHES)
"""The kinds of releases that are paid for out of a run's budget."""
