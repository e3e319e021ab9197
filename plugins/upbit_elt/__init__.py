"""Upbit candles end to end: exchange, collection, lake, warehouse, forecasts."""
