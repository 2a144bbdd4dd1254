"""What the four commands do, without a terminal: train, aggregate, route, evaluate."""
