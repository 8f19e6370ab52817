-- headwater
-- description: Revenue per day and country
-- checks:
--   - unique: [day, country]
--   - not_null: day
--   - range: {column: revenue, min: 0}
-- columns:
--   revenue: Gross, in ${var:currency}
SELECT
  ordered_at::date AS day,
  country,
  count(*) AS orders,
  sum(amount) AS revenue
FROM staging.orders
GROUP BY ALL
