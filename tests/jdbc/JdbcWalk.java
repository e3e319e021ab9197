import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.List;

/**
 * What a tool like DBeaver asks through Hive's own JDBC driver, as lines {@code name<TAB>row<TAB>row...}.
 *
 * <p>{@code JdbcWalk URL USER DATABASE STATEMENT...}, the password on standard input; without a statement it asks for
 * times only. Cells of a row are joined by {@code |}; what is refused is a row {@code refused: ...}.
 */
public final class JdbcWalk {
  interface Asked {
    List<String> rows() throws SQLException;
  }

  private JdbcWalk() {}

  public static void main(String[] arguments) throws Exception {
    String password = new String(System.in.readAllBytes()).trim();
    try (Connection connection = DriverManager.getConnection(arguments[0], arguments[1], password)) {
      times(connection, arguments[2]);
      if (arguments.length > 3) {
        metadata(connection.getMetaData(), arguments[2]);
        prepared(connection, arguments[2]);
        temporary(connection);
      }
      for (int number = 3; number < arguments.length; number++) {
        String sql = arguments[number];
        print("statement " + (number - 3), () -> query(connection, sql));
      }
    }
  }

  private static void metadata(DatabaseMetaData of, String database) {
    print("product", () -> List.of(of.getDatabaseProductName() + "|" + of.getDriverName()));
    print("catalogs", () -> rows(of.getCatalogs(), 1));
    print("schemas", () -> rows(of.getSchemas(), 1));
    print("schemas by name", () -> rows(of.getSchemas(null, database), 1));
    print("table types", () -> rows(of.getTableTypes(), 1));
    print("tables", () -> rows(of.getTables(null, database, "%", null), 3, 4));
    print("views", () -> rows(of.getTables(null, database, "%", new String[] {"VIEW"}), 3));
    print("columns", () -> rows(of.getColumns(null, database, "candle", "%"), 4, 6));
    print("types", () -> rows(of.getTypeInfo(), 1));
    print("primary keys", () -> rows(of.getPrimaryKeys(null, database, "candle"), 4));
    print("foreign keys", () -> rows(of.getImportedKeys(null, database, "candle"), 4));
    print("functions", () -> rows(of.getFunctions(null, database, "%"), 3));
    print("procedures", () -> rows(of.getProcedures(null, database, "%"), 3));
  }

  private static void prepared(Connection connection, String database) {
    print("prepared", () -> {
      String sql = "SELECT market, trade_price FROM " + database + ".candle"
          + " WHERE dt = ? AND market = ? AND trade_price > ? AND candle_time_kst >= ?";
      try (PreparedStatement statement = connection.prepareStatement(sql)) {
        statement.setString(1, "2026-11-24");
        statement.setString(2, "KRW-BTC");
        statement.setDouble(3, 3.5);
        statement.setTimestamp(4, Timestamp.valueOf("2026-11-24 09:00:00"));
        return rows(statement.executeQuery(), 1, 2);
      }
    });
    print("prepared, a quote in it", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT ?")) {
        statement.setString(1, "O'Neill \\ ; -- x");
        return rows(statement.executeQuery(), 1);
      }
    });
  }

  private static void temporary(Connection connection) {
    print("set", () -> done(connection, "SET hive.resultset.use.unique.column.names=false"));
    print("temporary", () -> {
      done(connection, "CREATE TEMPORARY TABLE walked (n INT, s STRING)");
      done(connection, "INSERT INTO walked VALUES (1, 'a'), (2, 'b')");
      List<String> found = query(connection, "SELECT s, n FROM walked ORDER BY n");
      done(connection, "DROP TABLE walked");
      return found;
    });
  }

  /** As a tool shows them: the text of a cell, and its object. */
  private static void times(Connection connection, String database) {
    String sql = "SELECT candle_time_kst, candle_time_utc FROM " + database + ".candle WHERE dt = '2026-11-24'";
    print("zone", () -> List.of(java.util.TimeZone.getDefault().getID()));
    print("times", () -> query(connection, sql));
    print("times as objects", () -> {
      try (Statement statement = connection.createStatement(); ResultSet found = statement.executeQuery(sql)) {
        List<String> rows = new ArrayList<>();
        while (found.next()) {
          rows.add(found.getTimestamp(1) + "|" + found.getObject(2));
        }
        return rows;
      }
    });
    // half past two does not exist in New York on that day
    String gap = "SELECT t, CAST(t AS STRING) FROM (SELECT CAST('2026-03-08 02:30:00' AS TIMESTAMP) AS t) a";
    print("skipped hour", () -> query(connection, gap));
  }

  private static List<String> done(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
      return List.of("done");
    }
  }

  private static List<String> query(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet found = statement.executeQuery(sql)) {
      int[] all = new int[found.getMetaData().getColumnCount()];
      for (int number = 0; number < all.length; number++) {
        all[number] = number + 1;
      }
      return rows(found, all);
    }
  }

  private static List<String> rows(ResultSet found, int... columns) throws SQLException {
    List<String> rows = new ArrayList<>();
    while (found.next()) {
      List<String> cells = new ArrayList<>();
      for (int column : columns) {
        cells.add(found.getString(column));
      }
      rows.add(String.join("|", cells));
    }
    return rows;
  }

  private static void print(String name, Asked asked) {
    List<String> rows;
    try {
      rows = asked.rows();
    } catch (SQLException error) {
      rows = List.of("refused: " + String.valueOf(error.getMessage()).replace('\n', ' ').replace('\t', ' '));
    }
    System.out.println(name + (rows.isEmpty() ? "" : "\t") + String.join("\t", rows));
  }
}
