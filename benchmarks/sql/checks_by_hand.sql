-- What somebody who cares writes for the 20 checks of bench_checks.py: one pass for all that can share it, one query per uniqueness.
SELECT count(*),
       count(*) FILTER (WHERE id IS NULL),
       count(*) FILTER (WHERE customer IS NULL),
       count(*) FILTER (WHERE ordered_at IS NULL),
       count(*) FILTER (WHERE amount IS NULL),
       count(*) FILTER (WHERE status IS NULL),
       count(*) FILTER (WHERE country IS NULL),
       count(*) FILTER (WHERE quantity < 1 OR quantity > 100),
       count(*) FILTER (WHERE amount < 0 OR amount > 10000),
       count(*) FILTER (WHERE discount < 0 OR discount > 1),
       count(*) FILTER (WHERE ordered_at < DATE '2020-01-01' OR ordered_at > DATE '2030-01-01'),
       count(*) FILTER (WHERE customer < 0),
       count(*) FILTER (WHERE tax < 0 OR tax > 0.5),
       count(*) FILTER (WHERE status NOT IN ('new', 'paid', 'sent', 'done', 'void')),
       count(*) FILTER (WHERE country NOT IN ('NO', 'SE', 'DK', 'FI', 'IS')),
       count(*) FILTER (WHERE NOT regexp_matches(email, '^[a-z0-9]+@[a-z]+\.[a-z]+$')),
       count(*) FILTER (WHERE NOT (amount * (1 - discount) <= 10000)),
       count(*) FILTER (WHERE NOT (status <> 'void' OR quantity > 0))
FROM orders;

SELECT count(*) - count(DISTINCT id)
FROM orders;

SELECT coalesce(sum(n - 1), 0)
FROM (SELECT count(*) AS n FROM orders WHERE customer IS NOT NULL AND line IS NOT NULL GROUP BY customer, line);
