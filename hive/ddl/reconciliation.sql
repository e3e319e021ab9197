-- One row per market and KST day: its reconciliation with the exchange's 60-minute candles. Of the `hours` compared,
-- `differences` differed at first; `repaired` of these agree now, and `findings` do not: `detail` has their values, as
-- JSON. `generation` is the snapshot that was compared.
CREATE EXTERNAL TABLE IF NOT EXISTS ${database}.${table} (
    market STRING,
    generation STRING,
    hours INT,
    candles INT,
    differences INT,
    repaired INT,
    findings INT,
    state STRING,
    checked STRING,
    digest STRING,
    detail STRING
)
${partitioned}
STORED AS PARQUET
LOCATION '${location}'
TBLPROPERTIES ('external.table.purge' = 'false', 'discover.partitions' = 'false')
