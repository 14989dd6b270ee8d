"""Whole training loops on a GPU's chip, one member per program."""
