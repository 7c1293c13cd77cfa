"""How fast the project is, always beside a floor measured in the same run: `python -m bench --help`."""
