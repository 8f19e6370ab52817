-- a struct's field leads to its column
SELECT st.p, k.st.q AS z, st['p'] AS w FROM s.k;
--   p <- s.k.st
--   z <- s.k.st
--   w <- s.k.st

-- a struct made and taken apart
SELECT {'x': a, 'y': b}.x AS z FROM s.t;
--   z <- s.t.a, s.t.b

-- a lambda
SELECT list_transform(l, x -> x + id) AS y FROM s.k;
--   y <- s.k.id, s.k.l

-- a lambda's parameter hides a column
SELECT list_transform(l, id -> id + 1) AS y FROM s.k;
--   y <- s.k.l

-- two parameters
SELECT list_reduce(l, lambda x, y: x + y + id) AS z FROM s.k;
--   z <- s.k.id, s.k.l

-- a list comprehension
SELECT [x + a FOR x IN [b, c] IF x > d] AS y FROM s.t;
--   y <- s.t.a, s.t.b, s.t.c, s.t.d

-- JSON's arrow isn't a lambda
SELECT j -> '$.x' AS x, j ->> 'y' AS y FROM s.k;
--   x <- s.k.j
--   y <- s.k.j

-- a method call on a column
SELECT l.list_sum() AS x, l.list_transform(e -> e + id) AS y FROM s.k;
--   x <- s.k.l
--   y <- s.k.id, s.k.l

-- UNNEST makes rows
SELECT id, unnest([a, b]) AS x FROM (SELECT a AS id, a, b FROM s.t);
--   id <- s.t.a
--   x <- s.t.a, s.t.b
--   rows <- s.t.a, s.t.b

-- UNNEST of what may be a struct
SELECT unnest(st) FROM s.k;
--   unnest(st) <- s.k.st
--   rows <- s.k.st
--   columns aren't known

-- a struct's star
SELECT id, st.* FROM s.k;
--   id <- s.k.id, s.k.st
--   rows <- s.k.st
--   columns aren't known
