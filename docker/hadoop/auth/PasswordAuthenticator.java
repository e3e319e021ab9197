package upbit_elt;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import javax.security.sasl.AuthenticationException;
import org.apache.hive.service.auth.PasswdAuthenticationProvider;

/** HiveServer2's password check: STACK_HIVE_USERS holds {@code name:password} pairs, separated by commas. */
public final class PasswordAuthenticator implements PasswdAuthenticationProvider {
  @Override
  public void Authenticate(String user, String password) throws AuthenticationException {
    byte[] given = bytes(user + ":" + password);
    boolean known = false;
    for (String pair : System.getenv().getOrDefault("STACK_HIVE_USERS", "").split(",")) {
      // every pair is compared in constant time: how long it takes tells nothing
      known |= pair.indexOf(':') > 0 && MessageDigest.isEqual(bytes(pair), given);
    }
    if (!known) {
      throw new AuthenticationException("wrong user or password for Hive: " + user);
    }
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
