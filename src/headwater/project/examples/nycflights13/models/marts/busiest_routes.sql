-- headwater
-- description: Every route with its traffic and delays; the busiest ten per airport are marked
-- checks:
--   - unique: [route]
--   - relationships: {column: dest, to: nyc.airports, field: faa, severity: warn}
-- columns:
--   dest: Four airports in the Caribbean aren't in the airports file, and the check says so
SELECT
  f.route,
  f.origin,
  f.dest,
  p.name AS destination,
  count(*) AS flights,
  round(avg(f.dep_delay), 1) AS mean_delay_minutes,
  any_value(f.distance) AS distance_miles,
  row_number() OVER (PARTITION BY f.origin ORDER BY count(*) DESC, f.route) <= 10 AS is_top_ten
FROM staging.flights f
LEFT JOIN nyc.airports p ON p.faa = f.dest
GROUP BY f.route, f.origin, f.dest, p.name
