"""Measurements of jaxsim against its peers, always as ratios within one run."""
