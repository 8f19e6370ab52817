-- headwater
-- description: Orders with the country they came from
-- kind: view
-- columns:
--   amount: In ${var:currency}
SELECT
  o.id,
  o.customer_id,
  c.country,
  o.amount,
  o.ordered_at
FROM shop.orders o
JOIN shop.customers c ON c.id = o.customer_id
