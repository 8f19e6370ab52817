-- headwater
-- description: Flights with the names people ask for; cancelled ones have no departure
-- kind: view
-- columns:
--   flight_date: The day of the scheduled departure, in New York
--   route: Origin and destination, JFK-LAX
--   is_cancelled: It never left
SELECT
  make_date(year, month, day) AS flight_date,
  time_hour,
  carrier,
  flight,
  tailnum,
  origin,
  dest,
  origin || '-' || dest AS route,
  dep_delay,
  arr_delay,
  dep_delay IS NULL AS is_cancelled,
  is_late(dep_delay) AS is_late,
  distance,
  air_time
FROM nyc.flights
