"""Upbit candles end to end: exchange, collection, lake, warehouse, forecasts."""

__version__ = "0.2.0"
