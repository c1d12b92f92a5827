"""The catalogue of networks, and their weights on this machine."""
