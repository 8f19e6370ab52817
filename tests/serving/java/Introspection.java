import java.sql.*;
import java.util.*;

/** What JDBC tools ask: metadata, statements with and without parameters, fetch size. Prints one line a fact. */
public class Introspection {
    static void print(String what, ResultSet rows, String... columns) throws SQLException {
        while (rows.next()) {
            StringBuilder line = new StringBuilder(what);
            for (String column : columns) line.append('|').append(rows.getString(column));
            System.out.println(line);
        }
        rows.close();
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0], "robot", "pencil")) {
            DatabaseMetaData data = connection.getMetaData();
            print("schema", data.getSchemas(), "TABLE_SCHEM");
            print("catalog", data.getCatalogs(), "TABLE_CAT");
            print("table", data.getTables(null, "shop", "%", new String[] {"TABLE", "VIEW"}), "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE", "REMARKS");
            print("column", data.getColumns(null, "shop", "%", "%"), "TABLE_NAME", "COLUMN_NAME", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "IS_NULLABLE", "ORDINAL_POSITION");
            print("primary", data.getPrimaryKeys(null, "shop", "orders"), "TABLE_NAME", "COLUMN_NAME", "KEY_SEQ", "PK_NAME");
            print("imported", data.getImportedKeys(null, "shop", "orders"), "PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "FK_NAME");
            print("exported", data.getExportedKeys(null, "shop", "customers"), "PKTABLE_NAME", "FKTABLE_NAME");
            print("index", data.getIndexInfo(null, "shop", "orders", false, true), "INDEX_NAME", "COLUMN_NAME", "NON_UNIQUE");
            print("type", data.getTypeInfo(), "TYPE_NAME");
            print("privilege", data.getTablePrivileges(null, "shop", "orders"), "TABLE_NAME", "PRIVILEGE");
            try (PreparedStatement statement = connection.prepareStatement("select id, amount, placed_at from shop.orders where id = ? and amount < ?")) {
                for (int round = 0; round < 8; round++) {
                    statement.setLong(1, 3 + round);
                    statement.setBigDecimal(2, new java.math.BigDecimal("1000.5"));
                    print("prepared", statement.executeQuery(), "id", "amount", "placed_at");
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(1000);
                ResultSet rows = statement.executeQuery("select id, name from shop.many");
                long count = 0, sum = 0;
                while (rows.next()) { count++; sum += rows.getLong(1); }
                System.out.println("fetched|" + count + "|" + sum);
            }
            connection.rollback();
            connection.setAutoCommit(true);
            try (Statement statement = connection.createStatement()) {
                ResultSet rows = statement.executeQuery("select c.id, c.email from shop.customers c where c.id = 1");
                ResultSetMetaData meta = rows.getMetaData();
                System.out.println("meta|" + meta.getColumnName(1) + "|" + meta.getColumnTypeName(1) + "|" + meta.isNullable(1));
                try { statement.executeQuery("select nothing from shop.customers"); }
                catch (SQLException error) { System.out.println("error|" + error.getSQLState()); }
                try { statement.executeUpdate("delete from shop.customers"); }
                catch (SQLException error) { System.out.println("error|" + error.getSQLState()); }
            }
        }
    }
}
