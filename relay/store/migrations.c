#include "relay/store/migrations.h"

#include "relay/store/db_conn.h"

/*
 * Times are microseconds since 1970, 0 for never; yes and no are 1 and 0; what is enumerated stands
 * there by its wire text. Text is compared byte by byte: a PostgreSQL database is made with the
 * collation "C".
 */
static const char *const version_1[] = {
	/* Every id that a node ever had, so that none comes twice. */
	"CREATE TABLE node_id (id TEXT PRIMARY KEY, removed BIGINT NOT NULL)",
	"CREATE TABLE node ("
	" id TEXT PRIMARY KEY REFERENCES node_id (id),"
	" name TEXT NOT NULL,"
	" serial TEXT NOT NULL,"
	" serial_before TEXT NOT NULL,"
	" activation_id TEXT NOT NULL,"
	" iam_role TEXT NOT NULL,"
	" registered BIGINT NOT NULL,"
	" seen BIGINT NOT NULL,"
	" agent_version TEXT NOT NULL,"
	" computer_name TEXT NOT NULL,"
	" ip_address TEXT NOT NULL,"
	" ip_addresses TEXT NOT NULL,"
	" platform_name TEXT NOT NULL,"
	" platform_version TEXT NOT NULL,"
	" kernel TEXT NOT NULL,"
	" architecture TEXT NOT NULL)",
	"CREATE INDEX node_name ON node (name)",
	"CREATE TABLE node_tag ("
	" owner TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,"
	" name TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" PRIMARY KEY (owner, name))",
	"CREATE INDEX node_tag_content ON node_tag (name, content)",

	"CREATE TABLE activation ("
	" id TEXT PRIMARY KEY,"
	" code_hash TEXT NOT NULL,"
	" description TEXT NOT NULL,"
	" default_name TEXT NOT NULL,"
	" iam_role TEXT NOT NULL,"
	" uses BIGINT NOT NULL,"
	" used BIGINT NOT NULL,"
	" created BIGINT NOT NULL,"
	" expires BIGINT NOT NULL,"
	" created_by TEXT NOT NULL)",
	"CREATE INDEX activation_created ON activation (created, id)",
	"CREATE TABLE activation_tag ("
	" owner TEXT NOT NULL REFERENCES activation (id) ON DELETE CASCADE,"
	" name TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" PRIMARY KEY (owner, name))",

	/* When a name was last taken from someone: certificates from before must not fit who has it
	   next. */
	"CREATE TABLE user_name (name TEXT PRIMARY KEY, removed BIGINT NOT NULL)",
	"CREATE TABLE user_account ("
	" name TEXT PRIMARY KEY REFERENCES user_name (name),"
	" admin BIGINT NOT NULL,"
	" created BIGINT NOT NULL,"
	" valid_from BIGINT NOT NULL,"
	" last_login BIGINT NOT NULL)",
	"CREATE TABLE invite ("
	" user_name TEXT PRIMARY KEY REFERENCES user_account (name) ON DELETE CASCADE,"
	" hash TEXT NOT NULL UNIQUE,"
	" expires BIGINT NOT NULL,"
	" used BIGINT NOT NULL)",

	"CREATE TABLE session ("
	" id TEXT PRIMARY KEY,"
	" tail TEXT NOT NULL,"
	" type TEXT NOT NULL,"
	" principal TEXT NOT NULL,"
	" owner_arn TEXT NOT NULL,"
	" node_id TEXT NOT NULL,"
	" node_name TEXT NOT NULL,"
	" run_as TEXT NOT NULL,"
	" document TEXT NOT NULL,"
	" command TEXT,"
	" reason TEXT NOT NULL,"
	" status TEXT NOT NULL,"
	" live BIGINT NOT NULL,"
	" started BIGINT NOT NULL,"
	" ended BIGINT NOT NULL,"
	" details TEXT NOT NULL,"
	" bytes_in BIGINT NOT NULL,"
	" bytes_out BIGINT NOT NULL,"
	" exited BIGINT NOT NULL,"
	" exit_status BIGINT NOT NULL,"
	" token_hash TEXT UNIQUE,"
	" token_expires BIGINT NOT NULL,"
	" token_used BIGINT NOT NULL)",
	"CREATE INDEX session_started ON session (started, id)",
	"CREATE INDEX session_live ON session (started, id) WHERE live = 1",
	"CREATE INDEX session_tail ON session (tail)",
	"CREATE INDEX session_node ON session (node_id, started)",
	NULL,
};

/* Users have types, tags and keys, are in groups, and may do what policies say; who had the one bit
 * that there was has the policy that it stood for. */
static const char *const version_2[] = {
	"ALTER TABLE user_account ADD COLUMN type TEXT NOT NULL DEFAULT 'User'",
	"ALTER TABLE user_account ADD COLUMN disabled BIGINT NOT NULL DEFAULT 0",
	"ALTER TABLE user_account ADD COLUMN last_used BIGINT NOT NULL DEFAULT 0",
	"CREATE TABLE user_tag ("
	" owner TEXT NOT NULL REFERENCES user_account (name) ON DELETE CASCADE,"
	" name TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" PRIMARY KEY (owner, name))",

	"CREATE TABLE user_group (name TEXT PRIMARY KEY, created BIGINT NOT NULL)",
	"CREATE TABLE group_member ("
	" group_name TEXT NOT NULL REFERENCES user_group (name) ON DELETE CASCADE,"
	" user_name TEXT NOT NULL REFERENCES user_account (name) ON DELETE CASCADE,"
	" PRIMARY KEY (group_name, user_name))",
	"CREATE INDEX group_member_user ON group_member (user_name, group_name)",

	"CREATE TABLE policy ("
	" name TEXT PRIMARY KEY,"
	" description TEXT NOT NULL,"
	" created BIGINT NOT NULL,"
	" updated BIGINT NOT NULL,"
	" document TEXT NOT NULL)",
	/* To a user or to a group: the other is NULL. The policy may be a built-in one, which is in
	   no table. */
	"CREATE TABLE attachment ("
	" policy TEXT NOT NULL,"
	" user_name TEXT REFERENCES user_account (name) ON DELETE CASCADE,"
	" group_name TEXT REFERENCES user_group (name) ON DELETE CASCADE,"
	" CHECK ((user_name IS NULL) <> (group_name IS NULL)),"
	" UNIQUE (policy, user_name),"
	" UNIQUE (policy, group_name))",
	"CREATE INDEX attachment_user ON attachment (user_name, policy)",
	"CREATE INDEX attachment_group ON attachment (group_name, policy)",

	"CREATE TABLE access_key ("
	" id TEXT PRIMARY KEY,"
	" user_name TEXT NOT NULL REFERENCES user_account (name) ON DELETE CASCADE,"
	" sealed TEXT NOT NULL,"
	" status TEXT NOT NULL,"
	" created BIGINT NOT NULL,"
	" last_used BIGINT NOT NULL)",
	"CREATE INDEX access_key_user ON access_key (user_name, created, id)",

	"INSERT INTO attachment (policy, user_name)"
	" SELECT 'administrator', name FROM user_account WHERE admin = 1",
	"ALTER TABLE user_account DROP COLUMN admin",

	"ALTER TABLE session ADD COLUMN document_named BIGINT NOT NULL DEFAULT 0",
	NULL,
};

/* Sessions forward, too. */
static const char *const version_3[] = {
	"ALTER TABLE session ADD COLUMN remote_host TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE session ADD COLUMN remote_port BIGINT NOT NULL DEFAULT 0",
	NULL,
};

/* What takes a session up again after a restart: its token, and from where and with which
 * certificate it was opened. */
static const char *const version_4[] = {
	"ALTER TABLE session ADD COLUMN resume_hash TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE session ADD COLUMN source TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE session ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0",
	NULL,
};

/* Since when a live session is without its user. */
static const char *const version_5[] = {
	"ALTER TABLE session ADD COLUMN away BIGINT NOT NULL DEFAULT 0",
	NULL,
};

/* Documents that people write. `given` is the last number that a version got, `latest` the highest
 * that is there. */
static const char *const version_6[] = {
	"CREATE TABLE document ("
	" name TEXT PRIMARY KEY,"
	" type TEXT NOT NULL,"
	" created BIGINT NOT NULL,"
	" default_version BIGINT NOT NULL,"
	" latest BIGINT NOT NULL,"
	" given BIGINT NOT NULL,"
	" target_type TEXT NOT NULL)",
	"CREATE TABLE document_version ("
	" document TEXT NOT NULL REFERENCES document (name) ON DELETE CASCADE,"
	" number BIGINT NOT NULL,"
	" version_name TEXT,"
	" display_name TEXT NOT NULL,"
	" format TEXT NOT NULL,"
	" schema_version TEXT NOT NULL,"
	" hash TEXT NOT NULL,"
	" created BIGINT NOT NULL,"
	" author TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" PRIMARY KEY (document, number),"
	" UNIQUE (document, version_name))",
	"CREATE TABLE document_tag ("
	" owner TEXT NOT NULL REFERENCES document (name) ON DELETE CASCADE,"
	" name TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" PRIMARY KEY (owner, name))",
	NULL,
};

/* Commands, and each node's part of one. */
static const char *const version_7[] = {
	"CREATE TABLE command ("
	" id TEXT PRIMARY KEY,"
	" principal TEXT NOT NULL,"
	" owner_arn TEXT NOT NULL,"
	" document TEXT NOT NULL,"
	" version TEXT NOT NULL,"
	" version_asked TEXT NOT NULL,"
	" comment TEXT NOT NULL,"
	" max_concurrency TEXT NOT NULL,"
	" max_errors TEXT NOT NULL,"
	" concurrency BIGINT NOT NULL,"
	" error_limit BIGINT NOT NULL,"
	" targets BIGINT NOT NULL,"
	" requested BIGINT NOT NULL,"
	" deliver_before BIGINT NOT NULL,"
	" expires BIGINT NOT NULL,"
	" timeout_seconds BIGINT NOT NULL,"
	" output_max BIGINT NOT NULL,"
	" live BIGINT NOT NULL,"
	" cancelled BIGINT NOT NULL,"
	" status TEXT NOT NULL,"
	" details TEXT NOT NULL,"
	" completed BIGINT NOT NULL,"
	" errors BIGINT NOT NULL,"
	" not_delivered BIGINT NOT NULL,"
	" ended BIGINT NOT NULL,"
	" output_bytes BIGINT NOT NULL,"
	" output_gone BIGINT NOT NULL,"
	" content TEXT NOT NULL,"
	" parameters TEXT NOT NULL,"
	" given TEXT NOT NULL)",
	"CREATE INDEX command_requested ON command (requested, id)",
	"CREATE INDEX command_live ON command (requested) WHERE live = 1",
	"CREATE INDEX command_ended ON command (ended) WHERE live = 0",
	"CREATE TABLE invocation ("
	" command_id TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,"
	" node_id TEXT NOT NULL,"
	" node_name TEXT NOT NULL,"
	" live BIGINT NOT NULL,"
	" sent BIGINT NOT NULL,"
	" status TEXT NOT NULL,"
	" details TEXT NOT NULL,"
	" reason TEXT NOT NULL,"
	" response_code BIGINT NOT NULL,"
	" started BIGINT NOT NULL,"
	" ended BIGINT NOT NULL,"
	" stdout_bytes BIGINT NOT NULL,"
	" stderr_bytes BIGINT NOT NULL,"
	" change BIGINT NOT NULL,"
	" steps TEXT NOT NULL,"
	" output TEXT NOT NULL,"
	" PRIMARY KEY (command_id, node_id))",
	"CREATE INDEX invocation_change ON invocation (command_id, change)",
	"CREATE INDEX invocation_node ON invocation (node_id, command_id)",
	NULL,
};

/* What of a command's output goes elsewhere, and how far that is; how it was sent; nodes under a
 * name of their own. */
static const char *const version_8[] = {
	"ALTER TABLE command ADD COLUMN s3_bucket TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE command ADD COLUMN s3_prefix TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE command ADD COLUMN s3_region TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE command ADD COLUMN source TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE command ADD COLUMN by_key BIGINT NOT NULL DEFAULT 0",
	"CREATE TABLE upload ("
	" command_id TEXT NOT NULL,"
	" node_id TEXT NOT NULL,"
	" status TEXT NOT NULL,"
	" since BIGINT NOT NULL,"
	" attempts BIGINT NOT NULL,"
	" next BIGINT NOT NULL,"
	" reason TEXT NOT NULL,"
	" PRIMARY KEY (command_id, node_id),"
	" FOREIGN KEY (command_id, node_id) REFERENCES invocation (command_id, node_id)"
	" ON DELETE CASCADE)",
	"CREATE INDEX upload_next ON upload (next) WHERE status = 'Pending'",
	"CREATE TABLE resource_group ("
	" name TEXT PRIMARY KEY,"
	" description TEXT NOT NULL,"
	" created BIGINT NOT NULL,"
	" updated BIGINT NOT NULL,"
	" targets TEXT NOT NULL)",
	NULL,
};

/* What keeps recordings from being deleted, and which were. */
static const char *const version_9[] = {
	"CREATE TABLE hold ("
	" id TEXT PRIMARY KEY,"
	" session_id TEXT NOT NULL,"
	" user_name TEXT NOT NULL,"
	" node_id TEXT NOT NULL,"
	" started_after BIGINT NOT NULL,"
	" started_before BIGINT NOT NULL,"
	" reason TEXT NOT NULL,"
	" created_by TEXT NOT NULL,"
	" created BIGINT NOT NULL)",
	"ALTER TABLE session ADD COLUMN recording_gone BIGINT NOT NULL DEFAULT 0",
	"CREATE INDEX session_kept ON session (ended, id) WHERE live = 0 AND recording_gone = 0",
	NULL,
};

/* Recordings in a bucket; what an upload in parts has left there, should it have been cut off. */
static const char *const version_10[] = {
	"ALTER TABLE upload ADD COLUMN parts_of TEXT NOT NULL DEFAULT ''",
	"ALTER TABLE upload ADD COLUMN parts_id TEXT NOT NULL DEFAULT ''",
	"CREATE TABLE recording_upload ("
	" session_id TEXT PRIMARY KEY,"
	" status TEXT NOT NULL,"
	" since BIGINT NOT NULL,"
	" attempts BIGINT NOT NULL,"
	" next BIGINT NOT NULL,"
	" reason TEXT NOT NULL,"
	" parts_of TEXT NOT NULL DEFAULT '',"
	" parts_id TEXT NOT NULL DEFAULT '',"
	" bucket TEXT NOT NULL DEFAULT '',"
	" object TEXT NOT NULL DEFAULT '',"
	" hash TEXT NOT NULL DEFAULT '',"
	" size BIGINT NOT NULL DEFAULT 0,"
	" number TEXT NOT NULL DEFAULT '',"
	" start TEXT NOT NULL DEFAULT '',"
	" wrapped TEXT NOT NULL DEFAULT '',"
	" fetched BIGINT NOT NULL DEFAULT 0)",
	"CREATE INDEX recording_upload_next ON recording_upload (next)"
	" WHERE status IN ('Pending', 'Fetch')",
	"CREATE INDEX recording_upload_key ON recording_upload (number, start)",
	NULL,
};

/* A node's newest serial may be of the time that a backup lost, which began then; 0: it is known.
 */
static const char *const version_11[] = {
	"ALTER TABLE node ADD COLUMN lost_since BIGINT NOT NULL DEFAULT 0",
	NULL,
};

/* Which authority has issued its newest certificate. */
static const char *const version_12[] = {
	"ALTER TABLE node ADD COLUMN authority BIGINT NOT NULL DEFAULT 1",
	NULL,
};

static const char *const *const versions[] = {version_1, version_2, version_3, version_4, version_5,
	version_6, version_7, version_8, version_9, version_10, version_11, version_12};

int
migrations_newest(void)
{
	return (int)(sizeof(versions) / sizeof(versions[0]));
}

static int
version_read(int64_t *ret, struct db *db, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT version FROM schema_version ORDER BY version DESC LIMIT 1",
		err);
	if (r == 0 && (r = query_step(&q, err)) >= 0) {
		*ret = r > 0 ? query_int(&q, 0) : 0;
		r = 0;
	}
	query_end(&q);
	return r;
}

static int
migrate(struct db *db, int64_t version, int64_t now, struct hw_err *err)
{
	int r;

	for (const char *const *sql = versions[version - 1]; *sql != NULL; sql++) {
		if ((r = db_exec(db, *sql, err)) < 0)
			return r;
	}
	return db_run(db, NULL, err,
		"INSERT INTO schema_version (version, applied) VALUES ($1, $2)", "ii", version,
		now);
}

int
migrations_run_to(struct db *db, int newest, int64_t now, struct hw_err *err)
{
	int64_t version = 0;
	int r;

	hw_assert(newest >= 1 && newest <= migrations_newest());
	if ((r = db_exec(db,
		     "CREATE TABLE IF NOT EXISTS schema_version"
		     " (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL)",
		     err)) < 0 ||
		(r = version_read(&version, db, err)) < 0)
		return r;
	if (version > migrations_newest())
		return hw_err_set(err, HW_EVERSION,
			"it is of version %lld and this program knows %d: run the newer one",
			(long long)version, migrations_newest());
	while (version < newest) {
		version++;
		if ((r = db_begin_write(db, err)) < 0)
			return r;
		if ((r = migrate(db, version, now, err)) < 0 ||
			(r = db_exec(db, "COMMIT", err)) < 0) {
			if (db_in_transaction(db))
				db_exec(db, "ROLLBACK", NULL);
			return r;
		}
	}
	return 0;
}

int
migrations_run(struct db *db, int64_t now, struct hw_err *err)
{
	return migrations_run_to(db, migrations_newest(), now, err);
}
