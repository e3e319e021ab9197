-- For BI tools: real timestamps instead of wire strings.
CREATE OR REPLACE VIEW ${bi_database}.forecast AS
SELECT
    market,
    CAST(REPLACE(origin, 'T', ' ') AS TIMESTAMP) AS origin_utc,
    horizon,
    CAST(REPLACE(target, 'T', ' ') AS TIMESTAMP) AS target_utc,
    q05, q10, q25, q40, q50, q60, q75, q90, q95,
    expected_volume,
    volatility,
    model_version,
    CAST(REPLACE(issued_utc, 'T', ' ') AS TIMESTAMP) AS issued_utc,
    dt
FROM ${database}.forecast
