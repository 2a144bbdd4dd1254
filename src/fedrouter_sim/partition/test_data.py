"""What test data a run may have, by name."""

OWN, ALL, DRIFT, HELD_OUT = RUN_TEST_DATA = ("own", "all", "drift", "held-out")
"""Whose test samples: of the client's training mixture; of all tasks; of the mixture it drifts to; of the task that was
held back from all clients."""

GIVEN = "given"
"""Test data that the user gave for a finished run."""

VALIDATION = "validation"
"""The validation share, for tuning."""
