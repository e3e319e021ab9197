-- For BI tools: real timestamps. A plain cast of the wire string would give NULL because of its T.
CREATE OR REPLACE VIEW ${bi_database}.candle AS
SELECT
    market,
    CAST(REPLACE(candle_date_time_utc, 'T', ' ') AS TIMESTAMP) AS candle_time_utc,
    CAST(REPLACE(candle_date_time_kst, 'T', ' ') AS TIMESTAMP) AS candle_time_kst,
    opening_price,
    high_price,
    low_price,
    trade_price,
    candle_acc_trade_price,
    candle_acc_trade_volume,
    dt
FROM ${database}.candle
