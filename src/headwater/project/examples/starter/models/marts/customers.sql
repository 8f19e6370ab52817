-- headwater
-- description: What each customer has bought so far
-- checks:
--   - unique: [id]
--   - relationships: {column: id, to: shop.customers, field: id}
SELECT
  c.id,
  c.country,
  count(o.id) AS orders,
  coalesce(sum(o.amount), 0) AS spent,
  max(o.ordered_at) AS last_order_at
FROM shop.customers c
LEFT JOIN shop.orders o ON o.customer_id = c.id
GROUP BY c.id, c.country
