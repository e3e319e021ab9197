"""The commands of `python -m upbit_elt`."""
