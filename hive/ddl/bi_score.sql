-- For BI tools: how good the forecasts of a day were, in basis points of the log price (0.01 % of the price); names that say what is meant.
CREATE OR REPLACE VIEW ${bi_database}.score AS
SELECT
    market,
    horizon AS horizon_minutes,
    quantity,
    expert,
    `count` AS forecasts_scored,
    late AS forecasts_late,
    missed AS origins_missed,
    holes AS outcomes_unknown,
    crps AS crps_bp,
    mae AS median_error_bp,
    coverage_90,
    pinball_q05, pinball_q10, pinball_q25, pinball_q40, pinball_q50, pinball_q60, pinball_q75, pinball_q90, pinball_q95,
    dt
FROM ${database}.score
