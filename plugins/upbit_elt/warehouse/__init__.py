"""The warehouse: sessions of HiveServer2, external tables for each day and for all days, registration of snapshots."""
