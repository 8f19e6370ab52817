-- a scalar subquery is a value
SELECT a, (SELECT max(e) FROM s.u WHERE f = 1) AS x FROM s.t;
--   a <- s.t.a
--   x <- s.u.e, s.u.f

-- correlated
SELECT (SELECT max(e) FROM s.u WHERE u.b = t.b) AS x FROM s.t;
--   x <- s.t.b, s.u.b, s.u.e

-- EXISTS reads only what decides
SELECT a FROM s.t WHERE EXISTS (SELECT e FROM s.u WHERE u.b = t.b);
--   a <- s.t.a
--   rows <- s.t.b, s.u.b

-- NOT IN
SELECT a FROM s.t WHERE b NOT IN (SELECT e FROM s.u WHERE f > 0);
--   a <- s.t.a
--   rows <- s.t.b, s.u.e, s.u.f

-- ANY
SELECT a FROM s.t WHERE b > ANY (SELECT e FROM s.u);
--   a <- s.t.a
--   rows <- s.t.b, s.u.e

-- influence comes with a subquery
SELECT x FROM (SELECT a AS x, b FROM s.t WHERE c = 1) WHERE b = 2;
--   x <- s.t.a
--   rows <- s.t.b, s.t.c

-- a CTE
WITH w AS (SELECT a, b FROM s.t WHERE c = 1), v(x) AS (SELECT a + b FROM w) SELECT x FROM v;
--   x <- s.t.a, s.t.b
--   rows <- s.t.c

-- a CTE hides a table
WITH t AS (SELECT e AS a FROM s.u) SELECT a FROM t;
--   a <- s.u.e

-- a CTE named as the table it reads
WITH t AS (SELECT b AS a FROM s.t) SELECT a FROM t;
--   a <- s.t.b

-- a CTE that nobody reads
WITH w AS (SELECT e FROM s.u) SELECT a FROM s.t;
--   reads s.t, s.u
--   a <- s.t.a

-- a materialized CTE read twice
WITH w AS MATERIALIZED (SELECT a, b FROM s.t) SELECT x.a, y.b FROM w AS x, w AS y;
--   a <- s.t.a
--   b <- s.t.b

-- a recursive CTE
WITH RECURSIVE r(n, k) AS (SELECT a, b FROM s.t UNION ALL SELECT n + 1, k + e FROM r JOIN s.u ON u.a = n WHERE n < 9) SELECT k FROM r;
--   k <- s.t.b, s.u.e
--   rows <- s.t.a, s.u.a

-- a recursive CTE whose columns change places
WITH RECURSIVE r AS (SELECT a AS x, b AS y, c AS z, 0 AS n FROM s.t UNION ALL SELECT y, z, x, n + 1 FROM r WHERE n < 3) SELECT x FROM r;
--   x <- s.t.a, s.t.b, s.t.c

-- a recursive CTE USING KEY
WITH RECURSIVE r(k, v) USING KEY (k) AS (SELECT a, b FROM s.t UNION SELECT k, v + 1 FROM r WHERE v < 3) SELECT v FROM r;
--   v <- s.t.b
--   rows <- s.t.a, s.t.b
