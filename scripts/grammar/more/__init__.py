"""Six further tasks in the same world. Each takes its input in several surface forms, so that form does not give it away."""
