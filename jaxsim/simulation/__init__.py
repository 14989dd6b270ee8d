"""One training run as a pure function, and thousands of them at once."""
