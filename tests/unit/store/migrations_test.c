/* Databases of earlier versions are brought to the newest, with all that was in them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "relay/store/db_conn.h"
#include "relay/store/groups.h"
#include "relay/store/keys.h"
#include "relay/store/migrations.h"
#include "relay/store/policies.h"
#include "relay/store/tags.h"
#include "relay/store/users.h"
#include "tests/unit/store/rows.h"

static void
run(struct db *db, const char *sql)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, db_exec(db, sql, &err), 0), "%s: %s", sql, err.text);
}

/* What a relay of the first version left: alice and carol administrators, bob not. */
static void
make_version_1(struct scratch *s)
{
	static const char *const users[] = {
		"('alice', 1, 1000000, 2000000, 3)",
		"('bob', 0, 4, 5, 0)",
		"('carol', 1, 6, 7, 8)",
	};
	struct hw_err err = HW_ERR_INIT;
	struct db *db;
	char sql[256];

	store_close(s->store);
	s->store = NULL;
	cr_assert(eq(int, unlink(s->path), 0));
	cr_assert(eq(int, db_open(&db, s->path, true, &err), 0), "%s", err.text);
	cr_assert(eq(int, migrations_run_to(db, 1, NOON, &err), 0), "%s", err.text);
	run(db, "INSERT INTO user_name (name, removed) VALUES ('alice', 0), ('bob', 9), ('carol', 0)");
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		snprintf(sql, sizeof(sql),
			"INSERT INTO user_account (name, admin, created, valid_from, last_login)"
			" VALUES %s",
			users[i]);
		run(db, sql);
	}
	run(db, "INSERT INTO invite (user_name, hash, expires, used) VALUES ('bob', 'h', 100, 0)");
	run(db, "INSERT INTO node_id (id, removed) VALUES ('mi-1', 0)");
	run(db, "INSERT INTO node VALUES ('mi-1', 'web', 's', '', '', '', 1, 2, '', '', '', '', '', '', '', '')");
	run(db, "INSERT INTO node_tag (owner, name, content) VALUES ('mi-1', 'Env', 'prod')");
	db_close(db);
}

static int
check_version_1_users(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row row;
	bool admin;

	(void)arg;
	cr_assert(eq(int, user_get(db, "alice", &row, err), 0));
	cr_assert(eq(int, row.type, USER_TYPE_USER));
	cr_assert(not(row.disabled));
	cr_assert(row.created == 1000000 && row.valid_from == 2000000 && row.last_login == 3);
	cr_assert(row.last_used == 0);
	cr_assert(eq(int, attachment_reaches(db, "administrator", "alice", &admin, err), 0));
	cr_assert(admin);
	cr_assert(eq(int, attachment_reaches(db, "administrator", "bob", &admin, err), 0));
	cr_assert(not(admin));
	cr_assert(eq(int, attachment_reaches(db, "administrator", "carol", &admin, err), 0));
	cr_assert(admin);
	return invite_check(db, "h", 99, err);
}

static int
check_version_1_rest(void *arg, struct db *db, struct hw_err *err)
{
	struct scratch *s = arg;
	struct msg_tag *tags;
	size_t n;

	cr_assert(eq(int, tag_list(db, s->arena, TAGS_NODE, "mi-1", &tags, &n, err), 0));
	cr_assert(eq(sz, n, 1));
	cr_assert_str_eq(tags[0].value, "prod");
	return 0;
}

/* What is new works on what is old. */
static int
use_newest(void *arg, struct db *db, struct hw_err *err)
{
	struct group_row group = {.name = "ops", .created = NOON};
	struct key_row key = {.id = "K", .user = "bob", .sealed = "x", .status = KEY_STATUS_ACTIVE};

	(void)arg;
	cr_assert(eq(int, group_insert(db, &group, err), 0));
	cr_assert(eq(int, member_add(db, "ops", "bob", err), 0));
	cr_assert(eq(int, key_insert(db, &key, err), 0));
	cr_assert(eq(int, tag_set(db, TAGS_USER, "bob", "Team", "blue", err), 0));
	cr_assert(eq(int, attachment_add(db, "operator", HOLDER_GROUP, "ops", err), 0));
	return user_delete(db, "bob", NOON, err);
}

Test(migrations, a_database_of_the_first_version_keeps_everything)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;

	make_version_1(s);
	cr_assert(eq(int, scratch_try(s, &err), 0), "%s", err.text);
	cr_assert(eq(int, scratch_read(s, check_version_1_users, NULL, &err), 0), "%s", err.text);
	cr_assert(eq(int, scratch_read(s, check_version_1_rest, s, &err), 0), "%s", err.text);
	cr_assert(eq(int, scratch_write(s, use_newest, NULL, &err), 0), "%s", err.text);
	scratch_reopen(s, true);
	scratch_free(s);
}

/* One that fails in the middle leaves the version before, whole. */
Test(migrations, one_that_fails_changes_nothing)
{
	struct scratch *s = scratch_new(false);
	struct hw_err err = HW_ERR_INIT;
	struct db *db;

	make_version_1(s);
	cr_assert(eq(int, db_open(&db, s->path, true, &err), 0));
	run(db, "CREATE TABLE attachment (in_the_way TEXT NOT NULL)");
	db_close(db);
	cr_assert(lt(int, scratch_try(s, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, s->path), NULL), "%s", err.text);
	cr_assert(eq(int, db_open(&db, s->path, true, &err), 0));
	run(db, "SELECT admin FROM user_account");
	cr_assert(lt(int, db_exec(db, "SELECT disabled FROM user_account", &err), 0));
	run(db, "DROP TABLE attachment");
	db_close(db);
	cr_assert(eq(int, scratch_try(s, &err), 0), "%s", err.text);
	cr_assert(eq(int, scratch_read(s, check_version_1_users, NULL, &err), 0), "%s", err.text);
	scratch_free(s);
}
