"""The commands of `civicloom`: every module has `register(cli)`, which adds its command or group.

Modules import their dependencies inside functions, so that `--help` stays fast. The first sentence of a
command's docstring is its line in `--help`: it must be short enough not to be cut.
"""
