package upbit_elt;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.List;
import javax.security.sasl.AuthenticationException;
import org.apache.hive.service.auth.PasswdAuthenticationProvider;

/**
 * HiveServer2's password check: the file that STACK_HIVE_USERS_FILE names holds a line {@code name:password} a user.
 *
 * <p>A file, as every user may list the server's environment ({@code SET} prints it).
 */
public final class PasswordAuthenticator implements PasswdAuthenticationProvider {
  @Override
  public void Authenticate(String user, String password) throws AuthenticationException {
    byte[] given = bytes(user + ":" + password);
    boolean known = false;
    for (String pair : pairs()) {
      // every pair is compared in constant time: how long it takes tells nothing
      known |= pair.indexOf(':') > 0 && MessageDigest.isEqual(bytes(pair), given);
    }
    if (!known || user.indexOf(':') >= 0) {
      throw new AuthenticationException("wrong user or password for Hive: " + user);
    }
  }

  private static List<String> pairs() throws AuthenticationException {
    String file = System.getenv().getOrDefault("STACK_HIVE_USERS_FILE", "");
    try {
      return Files.readAllLines(Path.of(file));
    } catch (IOException error) {
      throw new AuthenticationException("STACK_HIVE_USERS_FILE (" + file + ") cannot be read", error);
    }
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
