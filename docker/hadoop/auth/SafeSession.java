package upbit_elt;

import java.util.List;
import java.util.Map;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hive.common.util.HiveStringUtils;
import org.apache.hive.service.cli.HiveSQLException;
import org.apache.hive.service.cli.OperationHandle;
import org.apache.hive.service.cli.SessionHandle;
import org.apache.hive.service.cli.session.HiveSessionImpl;
import org.apache.hive.service.rpc.thrift.TProtocolVersion;

/**
 * A session in which SET reaches the session alone.
 *
 * <p>Hive holds only the names of its own settings against a list. {@code system:} writes properties of the server's
 * process, {@code metaconf:} settings of the metastore, and {@code hivevar:mode=hplsql} turns on a language with a
 * statement HOST, which runs commands on the server. All of that is refused, whoever asks.
 */
public final class SafeSession extends HiveSessionImpl {
  public SafeSession(
      SessionHandle handle,
      TProtocolVersion protocol,
      String user,
      String password,
      HiveConf conf,
      String address,
      List<String> forwarded) {
    super(handle, protocol, user, password, conf, address, forwarded);
  }

  @Override
  public void open(Map<String, String> settings) throws HiveSQLException {
    for (String name : settings == null ? List.<String>of() : List.copyOf(settings.keySet())) {
      if (name.startsWith("set:")) {
        check(name.substring("set:".length()));
      }
    }
    super.open(settings);
  }

  @Override
  public OperationHandle executeStatement(String statement, Map<String, String> overlay) throws HiveSQLException {
    return super.executeStatement(checked(statement), overlay);
  }

  @Override
  public OperationHandle executeStatement(String statement, Map<String, String> overlay, long timeout)
      throws HiveSQLException {
    return super.executeStatement(checked(statement), overlay, timeout);
  }

  @Override
  public OperationHandle executeStatementAsync(String statement, Map<String, String> overlay)
      throws HiveSQLException {
    return super.executeStatementAsync(checked(statement), overlay);
  }

  @Override
  public OperationHandle executeStatementAsync(String statement, Map<String, String> overlay, long timeout)
      throws HiveSQLException {
    return super.executeStatementAsync(checked(statement), overlay, timeout);
  }

  /** Hive fails to list its functions while some of them are off: a driver gets an empty list instead. */
  @Override
  public OperationHandle getFunctions(String catalog, String schema, String name) throws HiveSQLException {
    return super.getFunctions(catalog, schema == null || schema.isEmpty() ? "%" : schema, name);
  }

  private static String checked(String statement) throws HiveSQLException {
    String[] words = HiveStringUtils.removeComments(statement).trim().split("\\s+", 2);
    if (words.length == 2 && words[0].equalsIgnoreCase("set") && words[1].contains("=")) {
      check(words[1].substring(0, words[1].indexOf('=')));
    }
    return statement;
  }

  private static void check(String given) throws HiveSQLException {
    String name = given.trim();
    boolean own = name.startsWith("hiveconf:") || name.startsWith("hivevar:") || name.indexOf(':') < 0;
    if (!own || name.substring(name.indexOf(':') + 1).trim().equals("mode")) {
      throw new HiveSQLException("SET may change the session alone, not " + name, "42000");
    }
  }
}
