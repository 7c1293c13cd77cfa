"""The commands of `civicloom`: every module here has `register(cli)`, which hangs its command or group in.

Modules import what they need inside their functions, so that `--help` stays quick.
"""
