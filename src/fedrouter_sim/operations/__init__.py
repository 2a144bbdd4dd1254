"""What the commands do, without a terminal: train, aggregate, route, evaluate, and studies of many runs."""
