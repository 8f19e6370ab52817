-- PIVOT
SELECT * FROM (SELECT a, b, c FROM s.t) PIVOT (sum(c) FOR b IN (1, 2));
--   a <- s.t.a
--   1 <- s.t.b, s.t.c
--   2 <- s.t.b, s.t.c
--   rows <- s.t.a, s.t.b

-- PIVOT with groups and several aggregates
PIVOT s.t ON b IN (1, 2) USING sum(c) AS total, max(d) GROUP BY a;
--   a <- s.t.a
--   1_total <- s.t.b, s.t.c, s.t.d
--   1_max(d) <- s.t.b, s.t.c, s.t.d
--   2_total <- s.t.b, s.t.c, s.t.d
--   2_max(d) <- s.t.b, s.t.c, s.t.d
--   rows <- s.t.a, s.t.b

-- PIVOT on two columns
PIVOT s.t ON a IN (1), b IN (2, 3) USING count(*);
--   c <- s.t.c
--   d <- s.t.d
--   1_2 <- s.t.a, s.t.b
--   1_3 <- s.t.a, s.t.b
--   rows <- s.t.a, s.t.b, s.t.c, s.t.d

-- UNPIVOT
UNPIVOT s.t ON a, b INTO NAME what VALUE v;
--   c <- s.t.c
--   d <- s.t.d
--   what <- nothing
--   v <- s.t.a, s.t.b
--   rows <- s.t.a, s.t.b

-- UNPIVOT of COLUMNS
UNPIVOT s.t ON COLUMNS('[ab]') INTO NAME what VALUE v;
--   c <- s.t.c
--   d <- s.t.d
--   what <- nothing
--   v <- s.t.a, s.t.b
--   rows <- s.t.a, s.t.b

-- UNPIVOT of several together
UNPIVOT s.t ON (a, b) AS ab, (c, d) AS cd INTO NAME what VALUE v, w;
--   what <- nothing
--   v <- s.t.a, s.t.b, s.t.c, s.t.d
--   w <- s.t.a, s.t.b, s.t.c, s.t.d
--   rows <- s.t.a, s.t.b, s.t.c, s.t.d

-- a PIVOT without values
PIVOT s.t ON b USING sum(c);
--   rows <- s.t.*
--   columns aren't known
--   incomplete: its columns aren't known before it runs (a PIVOT without values)

-- a CTE with a PIVOT without values
WITH p AS (PIVOT s.t ON b USING sum(c)) SELECT * FROM p, s.u;
--   rows <- s.t.*, s.u.*
--   columns aren't known
--   incomplete: its columns aren't known before it runs (a PIVOT without values)
