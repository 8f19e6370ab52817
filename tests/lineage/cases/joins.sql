-- ON decides rows
SELECT t.b, u.e FROM s.t JOIN s.u ON t.a = u.a AND u.f > 0;
--   b <- s.t.b
--   e <- s.u.e
--   rows <- s.t.a, s.u.a, s.u.f

-- USING makes one column of two
SELECT a, t.b FROM s.t LEFT JOIN s.u USING (a);
--   a <- s.t.a, s.u.a
--   b <- s.t.b
--   rows <- s.t.a, s.u.a

-- a star over USING
SELECT * FROM s.t FULL JOIN s.u USING (a);
--   a <- s.t.a, s.u.a
--   b <- s.t.b
--   c <- s.t.c
--   d <- s.t.d
--   b_1 <- s.u.b
--   e <- s.u.e
--   f <- s.u.f
--   rows <- s.t.a, s.u.a

-- NATURAL
SELECT * FROM s.t NATURAL JOIN s.u;
--   a <- s.t.a, s.u.a
--   b <- s.t.b, s.u.b
--   c <- s.t.c
--   d <- s.t.d
--   e <- s.u.e
--   f <- s.u.f
--   rows <- s.t.a, s.t.b, s.u.a, s.u.b

-- ASOF
SELECT t.c, u.e FROM s.t ASOF JOIN s.u ON t.a = u.a AND t.b >= u.b;
--   c <- s.t.c
--   e <- s.u.e
--   rows <- s.t.a, s.t.b, s.u.a, s.u.b

-- SEMI
SELECT b FROM s.t SEMI JOIN s.u ON t.a = u.a AND u.e = 1;
--   b <- s.t.b
--   rows <- s.t.a, s.u.a, s.u.e

-- ANTI with USING
SELECT * FROM s.t ANTI JOIN s.u USING (a, b);
--   a <- s.t.a
--   b <- s.t.b
--   c <- s.t.c
--   d <- s.t.d
--   rows <- s.t.a, s.t.b, s.u.a, s.u.b

-- POSITIONAL
SELECT t.a, e FROM s.t POSITIONAL JOIN s.u;
--   a <- s.t.a
--   e <- s.u.e

-- CROSS
SELECT c, e FROM s.t, s.u;
--   c <- s.t.c
--   e <- s.u.e

-- a table with itself
SELECT x.a, y.b FROM s.t AS x JOIN s.t AS y ON x.c = y.d;
--   a <- s.t.a
--   b <- s.t.b
--   rows <- s.t.c, s.t.d

-- LATERAL
SELECT t.a, w.z FROM s.t, LATERAL (SELECT u.e + t.c AS z FROM s.u WHERE u.b = t.b) AS w;
--   a <- s.t.a
--   z <- s.t.c, s.u.e
--   rows <- s.t.b, s.u.b

-- UNNEST of a column to the left
SELECT id, x FROM s.k, unnest(k.l) AS n(x);
--   id <- s.k.id
--   x <- s.k.l
--   rows <- s.k.l

-- range of a column to the left
SELECT a, i FROM s.t, range(t.b) AS r(i);
--   a <- s.t.a
--   i <- s.t.b
--   rows <- s.t.b

-- column aliases of a table
SELECT p, q FROM s.t AS t(p, q) WHERE c = 1;
--   p <- s.t.a
--   q <- s.t.b
--   rows <- s.t.c
