-- a scalar macro
SELECT add_tax(a, rate := b) AS x, add_tax(c) AS y FROM s.t;
--   x <- s.t.a, s.t.b
--   y <- s.t.c

-- a macro that calls a macro
SELECT twice_taxed(a) AS x FROM s.t;
--   x <- s.t.a

-- overloads
SELECT pick(a) AS x, pick(b, c) AS y FROM s.t;
--   x <- s.t.a
--   y <- s.t.b, s.t.c

-- a macro with a subquery
SELECT largest_e(a) AS x FROM s.t;
--   x <- s.t.a, s.u.e, s.u.f

-- a table macro
SELECT a, total FROM totals_over(1);
--   a <- s.t.a
--   total <- s.t.b
--   rows <- s.t.a, s.t.c

-- a table macro given a column
SELECT t.b, m.n FROM s.t, up_to(t.a) AS m;
--   b <- s.t.b
--   n <- s.t.a
--   rows <- s.t.a
