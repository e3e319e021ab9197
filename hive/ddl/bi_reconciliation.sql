-- For BI tools: which market-days are proven, and when they were checked (UTC).
CREATE OR REPLACE VIEW ${bi_database}.reconciliation AS
SELECT
    market,
    state,
    hours AS hours_compared,
    candles,
    differences,
    repaired,
    findings,
    detail,
    CAST(REPLACE(checked, 'T', ' ') AS TIMESTAMP) AS checked_utc,
    generation,
    dt
FROM ${database}.reconciliation
