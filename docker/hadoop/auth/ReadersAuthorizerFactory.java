package upbit_elt;

import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.ql.security.HiveAuthenticationProvider;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthorizer;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthorizerFactory;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthorizerImpl;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthzPluginException;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveAuthzSessionContext;
import org.apache.hadoop.hive.ql.security.authorization.plugin.HiveMetastoreClientFactory;
import org.apache.hadoop.hive.ql.security.authorization.plugin.sqlstd.SQLStdHiveAccessControllerWrapper;

/** Hive's SQL-standard authorization (grants, a list of what SET may change, no TRANSFORM), narrowed by Readers. */
public final class ReadersAuthorizerFactory implements HiveAuthorizerFactory {
  @Override
  public HiveAuthorizer createHiveAuthorizer(
      HiveMetastoreClientFactory clients,
      HiveConf conf,
      HiveAuthenticationProvider authenticator,
      HiveAuthzSessionContext session)
      throws HiveAuthzPluginException {
    var grants = new SQLStdHiveAccessControllerWrapper(clients, conf, authenticator, session);
    return new HiveAuthorizerImpl(grants, new Readers(clients, conf, authenticator, grants, session));
  }
}
