-- headwater
-- description: Why flights were late, as the desk saw it, beside what the timetable says
-- checks:
--   - unique: [reason]
SELECT
  l.reason,
  count(*) AS reports,
  round(avg(l.minutes_late), 1) AS mean_minutes_reported,
  round(avg(f.dep_delay), 1) AS mean_minutes_measured
FROM desk.late_flights l
LEFT JOIN staging.flights f USING (time_hour, carrier, flight, origin)
GROUP BY l.reason
