"""`python -m jaxsim` is the command `jaxsim`."""

from jaxsim.cli import main

main()
