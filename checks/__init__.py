"""Checks of the repository itself that no tool off the shelf has; `make check` runs each.

A check prints a line per finding, `file:line: what, and what to do`, and exits with 1 if there is any.
"""
