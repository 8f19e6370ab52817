-- UNION ALL
SELECT a, b FROM s.t UNION ALL SELECT e, f FROM s.u;
--   a <- s.t.a, s.u.e
--   b <- s.t.b, s.u.f

-- UNION compares all columns
SELECT a, b FROM s.t UNION SELECT e, f FROM s.u;
--   a <- s.t.a, s.u.e
--   b <- s.t.b, s.u.f
--   rows <- s.t.a, s.t.b, s.u.e, s.u.f

-- UNION ALL BY NAME
SELECT a, b FROM s.t UNION ALL BY NAME SELECT b, e FROM s.u;
--   a <- s.t.a
--   b <- s.t.b, s.u.b
--   e <- s.u.e

-- EXCEPT
SELECT a FROM s.t EXCEPT SELECT e FROM s.u;
--   a <- s.t.a, s.u.e
--   rows <- s.t.a, s.u.e

-- INTERSECT ALL
SELECT a FROM s.t INTERSECT ALL SELECT e FROM s.u WHERE f = 1;
--   a <- s.t.a, s.u.e
--   rows <- s.t.a, s.u.e, s.u.f

-- ORDER BY and LIMIT over a union
SELECT a, b FROM s.t UNION ALL SELECT e, f FROM s.u ORDER BY b LIMIT 1;
--   a <- s.t.a, s.u.e
--   b <- s.t.b, s.u.f
--   rows <- s.t.b, s.u.f

-- ORDER BY a name of the second part
SELECT a FROM s.t UNION ALL SELECT e FROM s.u ORDER BY e LIMIT 1;
--   a <- s.t.a, s.u.e
--   rows <- s.t.a, s.u.e
