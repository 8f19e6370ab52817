-- headwater
-- description: The fleet and its history; a version for each state a plane was ever in
-- kind: {snapshot: {key: [tailnum], check: [manufacturer, model, seats, engine]}}
-- checks:
--   - not_null: tailnum
SELECT tailnum, manufacturer, model, year AS built_in, seats, engine
FROM nyc.planes
