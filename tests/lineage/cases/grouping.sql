-- keys decide rows
SELECT a, sum(b) AS x FROM s.t GROUP BY a;
--   a <- s.t.a
--   x <- s.t.b
--   rows <- s.t.a

-- GROUP BY ALL
SELECT a, b + c AS k, sum(d) AS x FROM s.t GROUP BY ALL;
--   a <- s.t.a
--   k <- s.t.b, s.t.c
--   x <- s.t.d
--   rows <- s.t.a, s.t.b, s.t.c

-- GROUP BY an alias
SELECT a + b AS k, count(*) AS n FROM s.t GROUP BY k;
--   k <- s.t.a, s.t.b
--   n <- nothing
--   rows <- s.t.a, s.t.b

-- HAVING
SELECT a, count(*) AS n FROM s.t GROUP BY a HAVING max(d) > 1;
--   a <- s.t.a
--   n <- nothing
--   rows <- s.t.a, s.t.d

-- CUBE
SELECT a, b, sum(c) AS x FROM s.t GROUP BY CUBE (a, b);
--   a <- s.t.a
--   b <- s.t.b
--   x <- s.t.c
--   rows <- s.t.a, s.t.b

-- GROUPING SETS
SELECT a, b, count(*) AS n FROM s.t GROUP BY GROUPING SETS ((a), (b), ());
--   a <- s.t.a
--   b <- s.t.b
--   n <- nothing
--   rows <- s.t.a, s.t.b

-- FILTER and ORDER BY of an aggregate are part of its value
SELECT list(a ORDER BY b) FILTER (WHERE c > 1) AS x FROM s.t;
--   x <- s.t.a, s.t.b, s.t.c

-- DISTINCT
SELECT DISTINCT a, b FROM s.t;
--   a <- s.t.a
--   b <- s.t.b
--   rows <- s.t.a, s.t.b

-- DISTINCT ON
SELECT DISTINCT ON (a) b FROM s.t ORDER BY c;
--   b <- s.t.b
--   rows <- s.t.a, s.t.c

-- ORDER BY alone decides nothing
SELECT a FROM s.t ORDER BY b;
--   a <- s.t.a

-- ORDER BY with LIMIT decides rows
SELECT a FROM s.t ORDER BY b LIMIT 3;
--   a <- s.t.a
--   rows <- s.t.b

-- ORDER BY ALL with LIMIT
SELECT a, b + c AS x FROM s.t ORDER BY ALL LIMIT 3;
--   a <- s.t.a
--   x <- s.t.b, s.t.c
--   rows <- s.t.a, s.t.b, s.t.c

-- ORDER BY a position with LIMIT
SELECT a, b FROM s.t ORDER BY 2 LIMIT 3;
--   a <- s.t.a
--   b <- s.t.b
--   rows <- s.t.b

-- ORDER BY an alias that is a column too
SELECT a AS b FROM s.t ORDER BY b LIMIT 1;
--   b <- s.t.a
--   rows <- s.t.a, s.t.b

-- LIMIT by a subquery
SELECT a FROM s.t LIMIT (SELECT max(e) FROM s.u);
--   a <- s.t.a
--   rows <- s.u.e

-- ORDER BY in a subquery may be seen outside
SELECT list(a) AS x FROM (SELECT a FROM s.t ORDER BY b);
--   x <- s.t.a
--   rows <- s.t.b
