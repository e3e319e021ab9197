package upbit_elt;

import static org.apache.hadoop.hive.ql.security.authorization.plugin.HiveOperationType.*;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.ql.security.HiveAuthenticationProvider;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAccessControlException;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthzContext;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthzPluginException;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthzSessionContext;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveMetastoreClientFactory;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveOperationType;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HivePrivilegeObject;
import org.apache.hadoop.hive.ql.security.authorization.plugin.sqlstd.SQLStdHiveAccessControllerWrapper;
import org.apache.hadoop.hive.ql.security.authorization.plugin.sqlstd.SQLStdHiveAuthorizationValidator;

/**
 * What a statement may touch, asked by Hive before it runs one.
 *
 * <p>Writers (users of {@code upbit_elt.hive.writers}) may do everything. Everybody else reads: the databases of the
 * pipeline as they come, other tables where Hive's own GRANT says so; and makes temporary tables, which live in the
 * session. Nothing else: the list below says what is allowed, so that what Hive learns in a later version is refused.
 */
final class Readers extends SQLStdHiveAuthorizationValidator {
  /** {@code upbit_lake}, {@code upbit_bi}, and those of other datasets, such as {@code upbit_lake_replica}. */
  private static final Pattern PIPELINE = Pattern.compile("upbit_(lake|bi)(_[a-z0-9_]+)?");

  /** Make and drop tables: of these a reader's may be temporary only. */
  private static final Set<HiveOperationType> TEMPORARY =
      EnumSet.of(CREATETABLE, CREATETABLE_AS_SELECT, DROPTABLE);

  private static final Set<HiveOperationType> READING = EnumSet.of(
      QUERY, EXPLAIN, PREPARE, EXECUTE, SWITCHDATABASE, SET, RESET,
      DESCDATABASE, DESCTABLE, DESCFUNCTION,
      SHOWDATABASES, SHOWTABLES, SHOWVIEWS, SHOWMATERIALIZEDVIEWS, SHOWCOLUMNS, SHOWPARTITIONS, SHOWFUNCTIONS,
      SHOW_CREATEDATABASE, SHOW_CREATETABLE, SHOW_TABLESTATUS, SHOW_TBLPROPERTIES, SHOWCONF, SHOWLOCKS,
      GET_CATALOGS, GET_SCHEMAS, GET_TABLES, GET_TABLETYPES, GET_COLUMNS, GET_FUNCTIONS, GET_TYPEINFO);

  private final String user;
  private final boolean writer;

  Readers(
      HiveMetastoreClientFactory clients,
      HiveConf conf,
      HiveAuthenticationProvider authenticator,
      SQLStdHiveAccessControllerWrapper grants,
      HiveAuthzSessionContext session)
      throws HiveAuthzPluginException {
    super(clients, conf, authenticator, grants, session);
    user = authenticator.getUserName(); // null: the server's own session, which runs no statement
    writer = isWriter(conf, user);
  }

  static boolean isWriter(Configuration conf, String user) {
    return Arrays.asList(conf.getTrimmedStrings("upbit_elt.hive.writers")).contains(user);
  }

  @Override
  public void checkPrivileges(
      HiveOperationType operation,
      List<HivePrivilegeObject> inputs,
      List<HivePrivilegeObject> outputs,
      HiveAuthzContext context)
      throws HiveAuthzPluginException, HiveAccessControlException {
    if (writer) {
      return;
    }
    if (!READING.contains(operation) && !TEMPORARY.contains(operation)) {
      throw refused(operation, "");
    }
    for (HivePrivilegeObject output : all(outputs)) {
      // Hive names a temporary table's database, but never the table
      if (output.getType() != HivePrivilegeObject.HivePrivilegeObjectType.DATABASE || !TEMPORARY.contains(operation)) {
        throw refused(operation, " on " + output);
      }
    }
    // asked about as by a query, whatever reads them
    super.checkPrivileges(QUERY, elsewhere(operation, inputs), List.of(), context);
  }

  /** Those of the inputs that are not the pipeline's: a GRANT has to decide. */
  private List<HivePrivilegeObject> elsewhere(HiveOperationType operation, List<HivePrivilegeObject> inputs)
      throws HiveAccessControlException {
    List<HivePrivilegeObject> open = new ArrayList<>();
    for (HivePrivilegeObject input : all(inputs)) {
      switch (input.getType()) {
        case TABLE_OR_VIEW, PARTITION, COLUMN -> {
          if (!PIPELINE.matcher(input.getDbname()).matches()) {
            open.add(input);
          }
        }
        case DATABASE, FUNCTION, COMMAND_PARAMS -> {}
        default -> throw refused(operation, " on " + input);
      }
    }
    return open;
  }

  private static List<HivePrivilegeObject> all(List<HivePrivilegeObject> objects) {
    return objects == null ? List.of() : objects;
  }

  private HiveAccessControlException refused(HiveOperationType operation, String what) {
    return new HiveAccessControlException("Permission denied: user " + user + " may only read, not " + operation + what);
  }
}
