-- a table function of unknown columns
SELECT name FROM read_csv('people.csv', header = true);
--   name <- nothing

-- a file
SELECT x FROM 'people.parquet';
--   x <- main.people.parquet.x

-- beside an unknown table a column may be of either
SELECT e, zz FROM s.u, x.unknown;
--   e <- s.u.e
--   zz <- x.unknown.zz

-- query_table of a written name
SELECT a FROM query_table('s.t') WHERE b = 1;
--   a <- s.t.a
--   rows <- s.t.b

-- query of a written text
SELECT x FROM query('SELECT a AS x FROM s.t WHERE b = 1');
--   x <- s.t.a
--   rows <- s.t.b

-- a table whose columns aren't known
SELECT k, m.v + 1 AS w FROM x.unknown AS m WHERE z = 1;
--   k <- x.unknown.k
--   w <- x.unknown.m, x.unknown.v
--   rows <- x.unknown.z

-- a star over it
SELECT * FROM x.unknown;
--   rows <- x.unknown.*
--   columns aren't known

-- a NATURAL JOIN with it
SELECT a FROM s.t NATURAL JOIN x.unknown;
--   rows <- s.t.*, x.unknown.*
--   columns aren't known
--   incomplete: a NATURAL JOIN with a table whose columns aren't known

-- SUMMARIZE
SUMMARIZE s.t;
--   column_name <- s.t.*
--   column_type <- s.t.*
--   min <- s.t.*
--   max <- s.t.*
--   approx_unique <- s.t.*
--   avg <- s.t.*
--   std <- s.t.*
--   q25 <- s.t.*
--   q50 <- s.t.*
--   q75 <- s.t.*
--   count <- s.t.*
--   null_percentage <- s.t.*
--   rows <- s.t.*
--   incomplete: SHOW in FROM

-- a row id
SELECT rowid FROM s.t;
--   rows <- s.t.*
--   columns aren't known
--   incomplete: the column rowid was not found
