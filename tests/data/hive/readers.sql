-- For readers too: what tools send. They look around, set what holds for their session, and make temporary tables.
SHOW DATABASES
USE {bi}
SHOW TABLES
SHOW TABLES IN {lake} LIKE 'candle*'
SHOW VIEWS IN {bi}
DESCRIBE {bi}.candle
DESCRIBE FORMATTED {lake}.candle
DESCRIBE EXTENDED {day}
DESCRIBE DATABASE {lake}
DESCRIBE FUNCTION abs
SHOW CREATE TABLE {bi}.candle
SHOW CREATE TABLE {lake}.candle
SHOW PARTITIONS {lake}.candle
SHOW COLUMNS IN {bi}.candle
SHOW TBLPROPERTIES {lake}.candle
SHOW TABLE EXTENDED IN {lake} LIKE 'candle'
SHOW FUNCTIONS
SET -v
SET hive.execution.engine
SET hive.server2.thrift.resultset.default.fetch.size=1000
SET hive.resultset.use.unique.column.names=false
SET hive.fetch.task.conversion=more
SET hive.vectorized.execution.enabled=true
SET mapreduce.job.name=a workbook
SET TIME ZONE America/New_York
SET hivevar:a=b
EXPLAIN SELECT count(*) FROM {bi}.candle
CREATE TEMPORARY TABLE `XTableau_1` (n INT, s STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS TEXTFILE
INSERT INTO `XTableau_1` VALUES (1, 'a'), (2, 'b')
SELECT s, count(*) FROM `XTableau_1` GROUP BY s
CREATE TEMPORARY TABLE IF NOT EXISTS XTableau_2 AS SELECT market, trade_price FROM {bi}.candle
SELECT * FROM XTableau_2 JOIN `XTableau_1` ON true
CREATE TEMPORARY TABLE XTableau_3 STORED AS ORC AS SELECT * FROM {day}
DROP TABLE `XTableau_1`
DROP TABLE IF EXISTS XTableau_2
DROP TABLE IF EXISTS never_was
RESET
