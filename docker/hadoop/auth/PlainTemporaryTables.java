package upbit_elt;

import static org.apache.hadoop.hive.ql.parse.HiveParser.*;

import java.util.Set;
import org.antlr.runtime.tree.Tree;
import org.apache.hadoop.hive.ql.parse.ASTNode;
import org.apache.hadoop.hive.ql.parse.AbstractSemanticAnalyzerHook;
import org.apache.hadoop.hive.ql.parse.HiveSemanticAnalyzerHookContext;
import org.apache.hadoop.hive.ql.parse.SemanticException;

/**
 * A reader's table has columns or a query, and nothing that names files or Java classes.
 *
 * <p>The tables that Readers lets through are temporary, and Hive asks nobody about what is in these. But there are
 * formats whose rows are the names of other files (SymlinkTextInputFormat), and serializers that read an address
 * given as a property (Avro): by them a temporary table reads whatever the server can.
 */
public final class PlainTemporaryTables extends AbstractSemanticAnalyzerHook {
  private static final Set<Integer> PARTS = Set.of(
      TOK_TABNAME, KW_TEMPORARY, TOK_IFNOTEXISTS, TOK_TABCOLLIST, TOK_QUERY, TOK_TABLECOMMENT);

  private static final Set<String> FORMATS = Set.of("textfile", "sequencefile", "rcfile", "orc", "parquet");

  @Override
  public ASTNode preAnalyze(HiveSemanticAnalyzerHookContext context, ASTNode statement) throws SemanticException {
    if (!Readers.isWriter(context.getConf(), context.getUserName())) {
      check(statement);
    }
    return statement;
  }

  private static void check(Tree node) throws SemanticException {
    for (int number = 0; number < node.getChildCount(); number++) {
      Tree part = node.getChild(number);
      if (node.getType() == TOK_CREATETABLE && !isPlain(part)) {
        throw new SemanticException(
            "Permission denied: a reader's table may have columns, a query, a comment, ROW FORMAT DELIMITED and STORED AS "
                + String.join(", ", FORMATS) + ", not " + part.getText());
      }
      check(part);
    }
  }

  private static boolean isPlain(Tree part) {
    return switch (part.getType()) {
      case TOK_LIKETABLE -> part.getChildCount() == 0; // it is there without LIKE too
      case TOK_TABLEROWFORMAT -> part.getChildCount() == 1 && part.getChild(0).getType() == TOK_SERDEPROPS;
      case TOK_FILEFORMAT_GENERIC ->
          part.getChildCount() == 1 && FORMATS.contains(part.getChild(0).getText().toLowerCase());
      default -> PARTS.contains(part.getType());
    };
  }
}
