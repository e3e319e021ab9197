"""Housekeeping: what is removed after a time, so that a deployment does not grow beyond its data."""
