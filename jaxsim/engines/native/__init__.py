"""The native engine: a whole training loop as one native function, generated and compiled."""
