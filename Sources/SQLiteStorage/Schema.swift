import GRDB

/// The tables and how older ones are brought up to date.
///
/// Times are milliseconds since 1970. Free text that came from outside is stored as JSON, because SQLite's text ends at
/// the first NUL.
enum Schema {
    /// Raised with each migration; a database that says more was written by a newer version.
    static let version = 3
    /// "SFLT" in the header tells the database from any other.
    static let applicationID = 0x5346_4C54

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(sql: self.jobs)
            try db.execute(sql: self.outbox)
            try db.execute(sql: "PRAGMA application_id = \(self.applicationID)")
            try db.execute(sql: "PRAGMA user_version = 1")
        }
        migrator.registerMigration("2") { db in
            try db.execute(sql: self.notifications)
            try db.execute(sql: "PRAGMA user_version = 2")
        }
        migrator.registerMigration("3") { db in
            try db.execute(sql: self.access)
            try db.execute(sql: "PRAGMA user_version = 3")
        }
        return migrator
    }

    private static let jobs = """
        CREATE TABLE epoch (
          id INTEGER PRIMARY KEY CHECK (id = 1),
          value INTEGER NOT NULL
        ) STRICT;
        INSERT INTO epoch (id, value) VALUES (1, 0);

        CREATE TABLE job (
          number INTEGER PRIMARY KEY,
          id TEXT NOT NULL UNIQUE,
          principal TEXT,
          route TEXT NOT NULL,
          dialect TEXT NOT NULL,
          operation TEXT NOT NULL,
          upstream TEXT NOT NULL,
          delivery TEXT NOT NULL,
          disconnect TEXT NOT NULL,
          mode TEXT NOT NULL,
          request TEXT NOT NULL,
          prompts TEXT,
          uploads INTEGER NOT NULL,
          created_at INTEGER NOT NULL,
          started_at INTEGER,
          finished_at INTEGER,
          stage INTEGER NOT NULL DEFAULT 0,
          progress INTEGER NOT NULL DEFAULT 0,
          message TEXT NOT NULL DEFAULT '""',
          queue_position INTEGER,
          usage TEXT,
          cancel_outcome TEXT,
          terminal TEXT,
          CHECK ((terminal IS NULL) = (finished_at IS NULL))
        ) STRICT;
        CREATE INDEX job_by_principal ON job (principal, created_at, id) WHERE principal IS NOT NULL;
        CREATE INDEX job_by_time ON job (created_at, id);
        CREATE INDEX job_unfinished ON job (number) WHERE finished_at IS NULL;
        CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;

        CREATE TABLE idempotency_key (
          scope TEXT NOT NULL,
          key TEXT NOT NULL,
          digest TEXT NOT NULL,
          job TEXT NOT NULL,
          expires_at INTEGER NOT NULL,
          PRIMARY KEY (scope, key)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX idempotency_key_by_expiry ON idempotency_key (expires_at);

        CREATE TABLE submission (
          job INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
          attempt INTEGER NOT NULL,
          image_index INTEGER NOT NULL,
          upstream TEXT NOT NULL,
          submitted_at INTEGER NOT NULL,
          handle TEXT,
          PRIMARY KEY (job, attempt, image_index)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE image (
          job INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
          image_index INTEGER NOT NULL,
          image_id TEXT UNIQUE,
          finished TEXT,
          failure TEXT,
          PRIMARY KEY (job, image_index),
          CHECK ((finished IS NULL) <> (failure IS NULL))
        ) STRICT, WITHOUT ROWID;
        """

    private static let outbox = """
        CREATE TABLE webhook (
          number INTEGER PRIMARY KEY,
          id TEXT NOT NULL UNIQUE,
          job INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
          endpoint TEXT NOT NULL,
          body TEXT NOT NULL,
          due_at INTEGER NOT NULL,
          attempts INTEGER NOT NULL DEFAULT 0,
          state INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX webhook_by_job ON webhook (job);
        CREATE INDEX webhook_due ON webhook (due_at) WHERE state = 0;

        CREATE TABLE webhook_attempt (
          webhook INTEGER NOT NULL REFERENCES webhook (number) ON DELETE CASCADE,
          number INTEGER NOT NULL,
          at INTEGER NOT NULL,
          status INTEGER,
          error TEXT,
          PRIMARY KEY (webhook, number)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE probe (data BLOB NOT NULL) STRICT;
        """

    /// Jobs know whom their end is told to; what is sent is made anew for each attempt; due messages are found by
    /// endpoint.
    private static let notifications = """
        ALTER TABLE job ADD COLUMN notify TEXT;
        DROP INDEX webhook_due;
        ALTER TABLE webhook DROP COLUMN body;
        CREATE INDEX webhook_due ON webhook (endpoint, due_at) WHERE state = 0;
        ALTER TABLE webhook_attempt ADD COLUMN duration INTEGER NOT NULL DEFAULT 0;
        """

    /// Who may call, and what they have used. Of a token's secret there is a keyed hash; accounts outlive the jobs they sum up.
    private static let access = """
        CREATE TABLE token (
          id TEXT PRIMARY KEY,
          name TEXT NOT NULL,
          digest TEXT NOT NULL,
          scopes TEXT NOT NULL,
          routes TEXT,
          limits TEXT NOT NULL,
          created_at INTEGER NOT NULL,
          expires_at INTEGER,
          revoked_at INTEGER
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE token_change (
          id INTEGER PRIMARY KEY CHECK (id = 1),
          value INTEGER NOT NULL
        ) STRICT;
        INSERT INTO token_change (id, value) VALUES (1, 0);

        CREATE TABLE account (
          day INTEGER NOT NULL,
          principal TEXT NOT NULL,
          route TEXT NOT NULL,
          jobs INTEGER NOT NULL,
          failures INTEGER NOT NULL,
          images INTEGER NOT NULL,
          input_tokens INTEGER NOT NULL,
          output_tokens INTEGER NOT NULL,
          cost INTEGER NOT NULL,
          PRIMARY KEY (day, principal, route)
        ) STRICT, WITHOUT ROWID;
        """
}
