-- One row a market and KST day, held against the exchange's 60-minute candles. Of `hours` compared, `differences`
-- differed at first, `repaired` of these agree now, `findings` do not: `detail` has their numbers, as JSON.
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
