"""Random federations on which task discovery is measured."""
