"""Answers for people: the analysis of results, tables, plots and exports."""
