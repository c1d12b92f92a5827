"""The training of cutnet, the network that ships with the product."""
