-- headwater
-- description: Airlines by punctuality over the whole year
-- kind: view
SELECT
  rank() OVER (ORDER BY sum(d.late) / sum(d.flights - d.cancelled)) AS place,
  a.name AS airline,
  sum(d.flights) AS flights,
  sum(d.cancelled) AS cancelled,
  round(sum(d.late) / sum(d.flights - d.cancelled), 4) AS share_late
FROM marts.daily_delays d
JOIN nyc.airlines a USING (carrier)
GROUP BY a.name
