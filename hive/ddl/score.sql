-- Scores by the KST day of the forecasts' origins: one row per market, horizon (minutes), quantity (price) and expert.
-- `expert` is `served`, `naive` (the last price) or `unconditional` (the market's own quantiles of the days before).
-- Means over `count` forecasts (NULL where it is 0): crps, mae and pinball in basis points of the log price, coverage_90
-- as a share. Not scored, and the same for each expert: `late` (issued at or after the target), `missed` (the origin was
-- never made) and `holes` (the price at origin or target is not known).
CREATE EXTERNAL TABLE IF NOT EXISTS ${database}.${table} (
    market STRING,
    horizon INT,
    quantity STRING,
    expert STRING,
    `count` INT,
    late INT,
    missed INT,
    holes INT,
    crps DOUBLE,
    mae DOUBLE,
    coverage_90 DOUBLE,
    pinball_q05 DOUBLE,
    pinball_q10 DOUBLE,
    pinball_q25 DOUBLE,
    pinball_q40 DOUBLE,
    pinball_q50 DOUBLE,
    pinball_q60 DOUBLE,
    pinball_q75 DOUBLE,
    pinball_q90 DOUBLE,
    pinball_q95 DOUBLE
)
${partitioned}
STORED AS PARQUET
LOCATION '${location}'
TBLPROPERTIES ('external.table.purge' = 'false', 'discover.partitions' = 'false')
