"""Which initializations are trained, and with which weights."""
