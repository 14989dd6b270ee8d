"""Networks: fully-connected architectures, activations and laws of the random initialization."""
