"""`python -m benchmarks`: jaxsim against its alternatives, as ratios within one run."""

from benchmarks.throughput import main

main()
