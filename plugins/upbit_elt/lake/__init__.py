"""The lake: immutable Parquet files in HDFS, written and read over WebHDFS."""
