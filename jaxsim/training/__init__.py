"""One training run as pure functions: keys, mini-batches, training, certificates, records."""
