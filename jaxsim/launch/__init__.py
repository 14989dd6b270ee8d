"""Execution of a study's plan on the devices and worker processes of this machine."""
