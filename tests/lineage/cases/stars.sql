-- EXCLUDE, REPLACE and RENAME
SELECT * EXCLUDE (a) REPLACE (b + c AS b) RENAME (d AS q) FROM s.t;
--   b <- s.t.b, s.t.c
--   c <- s.t.c
--   q <- s.t.d

-- COLUMNS by pattern
SELECT COLUMNS('[ab]') FROM s.t;
--   a <- s.t.a
--   b <- s.t.b

-- COLUMNS by lambda, inside an expression
SELECT max(COLUMNS(name -> name <> 'a')) FROM s.t;
--   b <- s.t.b
--   c <- s.t.c
--   d <- s.t.d

-- COLUMNS named after the pattern's groups
SELECT min(COLUMNS('([ab])')) AS 'low_\1' FROM s.t;
--   low_a <- s.t.a
--   low_b <- s.t.b

-- COLUMNS of a list
SELECT COLUMNS(['d', 'a']) + c FROM s.t;
--   a <- s.t.a, s.t.c
--   d <- s.t.c, s.t.d

-- COLUMNS below a subquery
SELECT a, b FROM (SELECT COLUMNS('[ab]') FROM s.t);
--   a <- s.t.a
--   b <- s.t.b

-- * LIKE
SELECT * LIKE 'a%' FROM s.t;
--   a <- s.t.a

-- one table's star
SELECT u.*, t.a AS ta FROM s.t JOIN s.u ON t.a = u.e;
--   a <- s.u.a
--   b <- s.u.b
--   e <- s.u.e
--   f <- s.u.f
--   ta <- s.t.a
--   rows <- s.t.a, s.u.e

-- a star over a join is told apart in a subquery
SELECT * FROM (SELECT * FROM s.t, s.u);
--   a <- s.t.a
--   b <- s.t.b
--   c <- s.t.c
--   d <- s.t.d
--   a_1 <- s.u.a
--   b_1 <- s.u.b
--   e <- s.u.e
--   f <- s.u.f

-- COLUMNS in WHERE reads all columns
SELECT a FROM s.t WHERE COLUMNS(*) > 1;
--   a <- s.t.a
--   rows <- s.t.a, s.t.b, s.t.c, s.t.d

-- a packed COLUMNS
SELECT coalesce(*COLUMNS(*)) AS x FROM s.t;
--   x <- s.t.a, s.t.b, s.t.c, s.t.d

-- a star over a CTE with unnamed columns
WITH w AS (SELECT a + 1, sum(b) OVER () FROM s.t) SELECT * FROM w;
--   (a + 1) <- s.t.a
--   sum(b) OVER () <- s.t.b

-- COUNT(*) reads no column
SELECT count(*) AS n FROM s.t;
--   reads s.t
--   n <- nothing
