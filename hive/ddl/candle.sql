-- One KST day of candles: the 11 wire columns, names and order as Upbit's. `timestamp` is in ms: it needs 64 bits.
CREATE EXTERNAL TABLE IF NOT EXISTS ${database}.${table} (
    market STRING,
    candle_date_time_utc STRING,
    candle_date_time_kst STRING,
    opening_price DOUBLE,
    high_price DOUBLE,
    low_price DOUBLE,
    trade_price DOUBLE,
    `timestamp` BIGINT,
    candle_acc_trade_price DOUBLE,
    candle_acc_trade_volume DOUBLE,
    unit INT
)
${partitioned}
STORED AS PARQUET
LOCATION '${location}'
TBLPROPERTIES ('external.table.purge' = 'false', 'discover.partitions' = 'false')
