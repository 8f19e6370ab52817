-- headwater
-- description: Hourly weather by airport, in metric units
-- kind: table
-- checks:
--   - unique: [origin, time_hour]
--   - range: {column: wind_kmh, max: 300, severity: warn}
-- columns:
--   wind_kmh: Kilometres an hour; one reading is a sensor's mistake, and the check says so
SELECT
  origin,
  time_hour,
  round((temp - 32) * 5 / 9, 1) AS temp_celsius,
  round(wind_speed * 1.609344, 1) AS wind_kmh,
  round(precip * 25.4, 1) AS precip_mm,
  round(visib * 1.609344, 1) AS visibility_km
FROM nyc.weather
