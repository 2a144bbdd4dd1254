"""Clients, the server, and what passes between them."""
