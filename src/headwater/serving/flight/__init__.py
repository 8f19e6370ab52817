"""Arrow Flight SQL: queries, prepared statements and the catalog, for ADBC's and JDBC's drivers."""
