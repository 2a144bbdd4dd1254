"""The router: task centroids and the recipe that embeds a text."""
