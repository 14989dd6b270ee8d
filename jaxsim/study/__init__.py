"""The study: a named grid of experiments, as a TOML file says it."""
