CREATE MACRO add_tax(amount, rate := 0.25) AS amount * (1 + rate);
CREATE MACRO twice_taxed(x) AS add_tax(add_tax(x));
CREATE OR REPLACE MACRO pick(x) AS x, (x, y) AS coalesce(x, y);
CREATE MACRO "Largest_E"(floor) AS greatest(floor, (SELECT max(e) FROM s.u WHERE f > floor));
CREATE MACRO totals_over(least) AS TABLE SELECT a, sum(b) AS total FROM s.t WHERE c > least GROUP BY a;
CREATE FUNCTION up_to(n) AS TABLE SELECT unnest(range(n)) AS n
