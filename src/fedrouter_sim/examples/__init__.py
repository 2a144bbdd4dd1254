"""Examples: the record, where they come from, and how files and rows become examples."""
