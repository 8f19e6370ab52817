-- a plain column keeps the spelling of its table
SELECT A, "B" AS x FROM s.t;
--   a <- s.t.a
--   x <- s.t.b

-- an expression without alias is named in DuckDB's words
SELECT a + b, count(*) FROM s.t GROUP BY 1;
--   (a + b) <- s.t.a, s.t.b
--   count_star() <- nothing
--   rows <- s.t.a, s.t.b

-- an alias may be used by the items after it
SELECT a AS x, x + b AS y FROM s.t;
--   x <- s.t.a
--   y <- s.t.a, s.t.b

-- a column comes before an alias of the same name
SELECT a AS b, b AS c FROM s.t;
--   b <- s.t.a
--   c <- s.t.b

-- FROM first
FROM s.t SELECT a WHERE b > 1;
--   a <- s.t.a
--   rows <- s.t.b

-- FROM alone
FROM s.u;
--   a <- s.u.a
--   b <- s.u.b
--   e <- s.u.e
--   f <- s.u.f

-- a prefix alias
SELECT x: a + 1 FROM s.t;
--   x <- s.t.a

-- a WHERE may name an alias
SELECT b AS z FROM s.t WHERE z > 1;
--   z <- s.t.b
--   rows <- s.t.b

-- equal names are told apart
SELECT a, b AS a, c AS A FROM s.t;
--   a <- s.t.a
--   a_1 <- s.t.b
--   A_2 <- s.t.c

-- VALUES
SELECT v.x, v.y FROM (VALUES (1, 2), (3, 4)) AS v(x, y);
--   x <- nothing
--   y <- nothing

-- a constant has no edges
SELECT 1 AS one, current_date AS today, now() AS at FROM s.t;
--   reads s.t
--   one <- nothing
--   today <- nothing
--   at <- nothing

-- the whole row
SELECT t FROM s.t AS t;
--   t <- s.t.a, s.t.b, s.t.c, s.t.d

-- CASE and COALESCE
SELECT CASE WHEN a > 1 THEN b ELSE coalesce(c, d) END AS x FROM s.t;
--   x <- s.t.a, s.t.b, s.t.c, s.t.d

-- quoted and unicode names
SELECT "größe", "Select" AS "Ünï ☃" FROM s.k;
--   Größe <- s.k.Größe
--   Ünï ☃ <- s.k.Select

-- case doesn't matter
SELECT T.A FROM S.T AS t WHERE T.b = 1;
--   a <- S.T.a
--   rows <- S.T.b

-- positions
SELECT #2 FROM s.t;
--   b <- s.t.b

-- no FROM
SELECT 1 AS x;
--   x <- nothing

-- TABLESAMPLE adds nothing
SELECT a FROM s.t TABLESAMPLE 10%;
--   a <- s.t.a

-- a fully written name
SELECT s.t.a FROM s.t WHERE s.t.b = 1;
--   a <- s.t.a
--   rows <- s.t.b
