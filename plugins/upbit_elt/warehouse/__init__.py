"""The warehouse: HiveServer2, the daily external tables and the table over all days."""
