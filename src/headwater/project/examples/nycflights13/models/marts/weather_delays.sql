-- headwater
-- description: How rain and fog at the airport go with delays
-- checks:
--   - unique: [rain, fog]
--   - expression: {name: shares_are_shares, sql: share_late BETWEEN 0 AND 1}
SELECT
  CASE
    WHEN w.precip_mm = 0 THEN 'dry'
    WHEN w.precip_mm < 2.5 THEN 'light'
    ELSE 'heavy'
  END AS rain,
  w.visibility_km < 2 AS fog,
  count(*) AS flights,
  round(avg(f.dep_delay), 1) AS mean_delay_minutes,
  round(avg(f.is_late::integer), 4) AS share_late
FROM staging.flights f
JOIN staging.weather w USING (origin, time_hour)
WHERE NOT f.is_cancelled
GROUP BY ALL
