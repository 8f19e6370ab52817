import java.sql.*;
/** Every answer of DatabaseMetaData about the tables of one schema, a line a row, without OIDs. */
public class Facts {
    static void print(String what, ResultSet rows, String... hidden) throws SQLException {
        ResultSetMetaData meta = rows.getMetaData();
        while (rows.next()) {
            StringBuilder line = new StringBuilder(what);
            for (int i = 1; i <= meta.getColumnCount(); i++) {
                boolean skip = false;
                for (String one : hidden) skip |= meta.getColumnLabel(i).equalsIgnoreCase(one);
                if (!skip) line.append('|').append(meta.getColumnLabel(i)).append('=').append(rows.getString(i));
            }
            System.out.println(line);
        }
        rows.close();
    }
    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0], arguments[1], arguments[2])) {
            DatabaseMetaData data = connection.getMetaData();
            String catalog = connection.getCatalog();
            String[] tables = {"customers", "orders", "totals", "many"};
            String[] hide = {"TABLE_CAT", "PKTABLE_CAT", "FKTABLE_CAT", "FUNCTION_CAT", "PROCEDURE_CAT", "TYPE_CAT", "SPECIFIC_NAME", "GRANTOR", "GRANTEE"};
            System.out.println("product|" + data.getDatabaseProductName() + "|" + data.getIdentifierQuoteString() + "|" + data.getMaxColumnNameLength() + "|" + data.getDefaultTransactionIsolation());
            print("schemas", data.getSchemas(), "TABLE_CATALOG");
            print("schemas", data.getSchemas(catalog, "sh%"), "TABLE_CATALOG");
            print("tabletypes", data.getTableTypes());
            print("tables", data.getTables(null, "shop", "%", null), hide);
            print("tables", data.getTables(catalog, "shop", "ord%", new String[] {"TABLE", "PARTITIONED TABLE", "VIEW", "FOREIGN TABLE", "MATERIALIZED VIEW"}), hide);
            print("columns", data.getColumns(null, "shop", "%", null), hide);
            print("columns", data.getColumns(catalog, "shop", "orders", "%mount"), hide);
            for (String table : tables) {
                print("primary", data.getPrimaryKeys(null, "shop", table), hide);
                print("imported", data.getImportedKeys(null, "shop", table), hide);
                print("exported", data.getExportedKeys(catalog, "shop", table), hide);
                print("index", data.getIndexInfo(null, "shop", table, false, true), "TABLE_CAT", "CARDINALITY", "PAGES");
                print("best", data.getBestRowIdentifier(null, "shop", table, DatabaseMetaData.bestRowSession, false));
                print("version", data.getVersionColumns(null, "shop", table));
            }
            print("cross", data.getCrossReference(null, "shop", "customers", null, "shop", "orders"), hide);
            print("functions", data.getFunctions(null, "shop", "%"), hide);
            print("functioncolumns", data.getFunctionColumns(null, "shop", "%", "%"), hide);
            print("procedures", data.getProcedures(null, "shop", "%"), hide);
            print("procedurecolumns", data.getProcedureColumns(null, "shop", "%", "%"), hide);
            print("clientinfo", data.getClientInfoProperties());
            try { print("supertables", data.getSuperTables(null, "shop", "%")); } catch (SQLFeatureNotSupportedException e) { System.out.println("unsupported"); }
            System.out.println("keywords|" + data.getSQLKeywords().contains("analyze"));
            try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("SELECT * FROM shop.orders WHERE 1 <> 1 LIMIT 0")) {
                ResultSetMetaData meta = rows.getMetaData();
                for (int i = 1; i <= meta.getColumnCount(); i++)
                    System.out.println("meta|" + meta.getColumnName(i) + "|" + meta.getColumnTypeName(i) + "|" + meta.getColumnType(i) + "|" + meta.getPrecision(i) + "|" + meta.getScale(i));
            }
            connection.setReadOnly(true);
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_READ_UNCOMMITTED);
            try (PreparedStatement statement = connection.prepareStatement("SELECT id FROM shop.orders WHERE id = ?", ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
                statement.setFetchSize(500); statement.setQueryTimeout(15); statement.setLong(1, -1);
                statement.executeQuery().close();
                System.out.println("parameter|" + statement.getParameterMetaData().getParameterTypeName(1));
            }
            connection.rollback();
            System.out.println("valid|" + connection.isValid(5) + "|" + connection.getSchema());
        }
    }
}
