-- partition, order and filter are part of the value
SELECT a, sum(b) FILTER (WHERE c > 1) OVER (PARTITION BY a ORDER BY d) AS x FROM s.t;
--   a <- s.t.a
--   x <- s.t.a, s.t.b, s.t.c, s.t.d

-- a named window
SELECT rank() OVER w AS x, b FROM s.t WINDOW w AS (PARTITION BY a ORDER BY c);
--   x <- s.t.a, s.t.c
--   b <- s.t.b

-- QUALIFY
SELECT a, b FROM s.t QUALIFY row_number() OVER (PARTITION BY c ORDER BY d) = 1;
--   a <- s.t.a
--   b <- s.t.b
--   rows <- s.t.c, s.t.d

-- a window under a condition outside
SELECT a FROM (SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) AS n FROM s.t) WHERE n = 1;
--   a <- s.t.a
--   rows <- s.t.b, s.t.c

-- a window before a LIMIT
SELECT a, row_number() OVER (ORDER BY b) AS n FROM s.t LIMIT 2;
--   a <- s.t.a
--   n <- s.t.b
--   rows <- s.t.b
