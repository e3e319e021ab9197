-- Forecasts by the KST day of their origin. Prices are in the quote currency; origin and target are UTC strings, and
-- so is issued_utc, when the row was stored (null: before release 0.2.0, which did not say).
CREATE EXTERNAL TABLE IF NOT EXISTS ${database}.${table} (
    market STRING,
    origin STRING,
    horizon INT,
    target STRING,
    q05 DOUBLE,
    q10 DOUBLE,
    q25 DOUBLE,
    q40 DOUBLE,
    q50 DOUBLE,
    q60 DOUBLE,
    q75 DOUBLE,
    q90 DOUBLE,
    q95 DOUBLE,
    expected_volume DOUBLE,
    volatility DOUBLE,
    model_version STRING,
    issued_utc STRING
)
${partitioned}
STORED AS PARQUET
LOCATION '${location}'
TBLPROPERTIES ('external.table.purge' = 'false', 'discover.partitions' = 'false')
