-- headwater
-- description: Flights and delays per airline and day
-- kind: {incremental: {time_column: flight_date, lookback: 3 days}}
-- owner: operations
-- tags: [daily]
-- sort_by: [flight_date]
-- checks:
--   - unique: [flight_date, carrier]
--   - range: {column: share_late, min: 0, max: 1}
--   - relationships: {column: carrier, to: nyc.airlines, field: carrier}
-- columns:
--   share_late: Of the flights that left, how many left late
SELECT
  flight_date,
  carrier,
  count(*) AS flights,
  count(*) FILTER (WHERE is_cancelled) AS cancelled,
  count(*) FILTER (WHERE is_late) AS late,
  round(count(*) FILTER (WHERE is_late) / nullif(count(*) FILTER (WHERE NOT is_cancelled), 0), 4) AS share_late,
  round(avg(dep_delay), 1) AS mean_delay_minutes
FROM staging.flights
GROUP BY flight_date, carrier
