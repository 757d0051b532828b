#include "relay/core/access_key.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "tests/unit/services/desk.h"

static struct msg_create_access_key_reply
make_key(struct desk *d, const char *user)
{
	struct msg_create_access_key_request req = {.user_name = user};
	struct msg_create_access_key_reply rep;

	CHECK_OK(d, CALL(d, create_access_key, &req, &rep));
	return rep;
}

static int
set_status(struct desk *d, const char *user, const char *id, int status)
{
	struct msg_update_access_key_request req = {
		.user_name = user, .access_key_id = id, .status = status};
	struct msg_empty rep;

	return CALL(d, update_access_key, &req, &rep);
}

static int
delete_key(struct desk *d, const char *user, const char *id)
{
	struct msg_delete_access_key_request req = {.user_name = user, .access_key_id = id};
	struct msg_empty rep;

	return CALL(d, delete_access_key, &req, &rep);
}

static int
list_keys(struct desk *d, const char *user, struct msg_list_access_keys_reply *rep)
{
	struct msg_list_access_keys_request req = {.user_name = user};

	return CALL(d, list_access_keys, &req, rep);
}

struct getting {
	const char *id;
	struct key_row row;
};

static int
get(void *arg, struct db *db, struct hw_err *err)
{
	struct getting *w = arg;

	return key_get(db, w->id, &w->row, err);
}

static struct key_row
row_of(struct desk *d, const char *id)
{
	struct getting w = {.id = id};

	CHECK_OK(d, store_read(d->env.store, get, &w, &d->err));
	return w.row;
}

Test(keys, a_new_one_shows_its_secret_once_and_the_store_can_open_it)
{
	struct desk *d = desk_new(false);
	struct msg_create_access_key_reply made = make_key(d, "alice"), other;
	char secret[ACCESS_KEY_SECRET_LEN + 1];

	cr_assert_str_eq(made.user_name, "alice");
	cr_assert(eq(sz, strlen(made.access_key_id), 20));
	cr_assert(eq(int, strncmp(made.access_key_id, "HWAK", 4), 0));
	cr_assert(eq(sz, strspn(made.access_key_id + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), 16));
	cr_assert(eq(sz, strlen(made.secret_access_key), 40));
	cr_assert(eq(int, made.status, KEY_STATUS_ACTIVE));
	cr_assert(made.created == NOON);
	struct key_row row = row_of(d, made.access_key_id);
	CHECK_OK(d, access_key_secret(secret, &d->env, &row, &d->err));
	cr_assert_str_eq(secret, made.secret_access_key);
	other = make_key(d, "alice");
	cr_assert(ne(int, strcmp(other.access_key_id, made.access_key_id), 0));
	cr_assert(ne(int, strcmp(other.secret_access_key, made.secret_access_key), 0));
	desk_free(d);
}

/* Who can write to the store cannot give one key another's secret, nor a key to another user. */
Test(keys, a_secret_opens_for_its_own_key_and_user_and_relay_alone)
{
	struct desk *d = desk_new(false);
	struct key_row row = row_of(d, make_key(d, "alice").access_key_id), wrong;
	struct key_row other = row_of(d, make_key(d, "alice").access_key_id);
	char secret[ACCESS_KEY_SECRET_LEN + 1] = "untouched";
	struct hw_err *err = &d->err;

	wrong = row;
	memcpy(wrong.id, other.id, sizeof(wrong.id));
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &wrong, err), HW_ECORRUPT, wrong.id);
	wrong = row;
	snprintf(wrong.user, sizeof(wrong.user), "bob");
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &wrong, err), HW_ECORRUPT, wrong.id);
	wrong = row;
	wrong.sealed[10] = wrong.sealed[10] == 'A' ? 'B' : 'A';
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &wrong, err), HW_ECORRUPT, wrong.id);
	wrong = row;
	wrong.sealed[strlen(wrong.sealed) - 4] = '\0';
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &wrong, err), HW_ECORRUPT, wrong.id);
	snprintf(wrong.sealed, sizeof(wrong.sealed), "%s", "");
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &wrong, err), HW_ECORRUPT, wrong.id);
	memset(wrong.sealed, 'A', sizeof(wrong.sealed) - 1);
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &wrong, err), HW_ECORRUPT, wrong.id);
	snprintf(wrong.sealed, sizeof(wrong.sealed), "not base64!");
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &wrong, err), HW_ECORRUPT, wrong.id);
	secret_key_random(&d->master);
	CHECK_FAILS(d, access_key_secret(secret, &d->env, &row, err), HW_ECORRUPT, row.id);
	cr_assert_str_eq(secret, "untouched");
	desk_free(d);
}

static bool
file_has(const char *path, const void *what, size_t n)
{
	FILE *f = fopen(path, "rb");
	bool found = false;

	cr_assert(f != NULL, "%s", path);
	cr_assert(eq(int, fseek(f, 0, SEEK_END), 0));
	long size = ftell(f);
	cr_assert(ge(long, size, 0));
	rewind(f);
	char *all = malloc((size_t)size + 1);
	cr_assert(eq(sz, fread(all, 1, (size_t)size, f), (size_t)size));
	found = memmem(all, (size_t)size, what, n) != NULL;
	free(all);
	fclose(f);
	return found;
}

/* How many files of the desk's folder have these bytes. */
static int
files_with(struct desk *d, const void *what, size_t n)
{
	DIR *dir = opendir(d->dir);
	struct dirent *e;
	char path[512];
	int found = 0;

	cr_assert(dir != NULL);
	while ((e = readdir(dir)) != NULL) {
		if (e->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s/%s", d->dir, e->d_name);
		found += file_has(path, what, n);
	}
	closedir(dir);
	return found;
}

Test(keys, no_file_has_the_secret)
{
	struct desk *d = desk_new(false);
	struct msg_create_access_key_reply made = make_key(d, "alice");
	uint8_t bytes[64];
	size_t n;

	/* The key's id is found, so the search finds what is there. */
	cr_assert(ge(int, files_with(d, made.access_key_id, 20), 1));
	cr_assert(eq(int, files_with(d, made.secret_access_key, 40), 0));
	cr_assert(eq(int, base64_decode(bytes, &n, made.secret_access_key, 40), 0));
	cr_assert(eq(sz, n, 30));
	cr_assert(eq(int, files_with(d, bytes, n), 0));
	desk_free(d);
}

Test(keys, lists_say_all_but_the_secret)
{
	struct desk *d = desk_new(false);
	struct msg_create_access_key_reply made = make_key(d, "alice");
	struct msg_list_access_keys_reply rep;

	CHECK_OK(d, list_keys(d, "alice", &rep));
	cr_assert(eq(sz, rep.keys.n, 1));
	cr_assert_str_eq(rep.keys.v[0].access_key_id, made.access_key_id);
	cr_assert_str_eq(rep.keys.v[0].user_name, "alice");
	cr_assert(eq(int, rep.keys.v[0].status, KEY_STATUS_ACTIVE));
	cr_assert(rep.keys.v[0].created == NOON && rep.keys.v[0].last_used == 0);
	desk_user(d, "bob", false);
	CHECK_OK(d, list_keys(d, "bob", &rep));
	cr_assert(eq(sz, rep.keys.n, 0));
	CHECK_FAILS(d, list_keys(d, "carol", &rep), HW_ENOTFOUND, "no user carol");
	desk_free(d);
}

Test(keys, are_bounded_and_belong_to_a_user_that_is_there)
{
	struct desk *d = desk_new(false);
	struct msg_create_access_key_request req = {.user_name = "bob"};
	struct msg_create_access_key_reply rep;
	struct msg_list_access_keys_reply listed;

	CHECK_FAILS(d, CALL(d, create_access_key, &req, &rep), HW_ENOTFOUND, "no user bob");
	req.user_name = "a b";
	CHECK_FAILS(d, CALL(d, create_access_key, &req, &rep), HW_ENOTFOUND, "");
	for (int i = 0; i < KEYS_OF_A_USER_MAX; i++)
		make_key(d, "alice");
	req.user_name = "alice";
	CHECK_FAILS(d, CALL(d, create_access_key, &req, &rep), HW_ELIMIT, "10 access keys");
	CHECK_OK(d, list_keys(d, "alice", &listed));
	cr_assert(eq(sz, listed.keys.n, KEYS_OF_A_USER_MAX));
	desk_free(d);
}

Test(keys, are_turned_off_and_on_and_removed)
{
	struct desk *d = desk_new(false);
	const char *id = make_key(d, "alice").access_key_id;
	struct msg_list_access_keys_reply rep;

	CHECK_OK(d, set_status(d, "alice", id, KEY_STATUS_INACTIVE));
	CHECK_OK(d, list_keys(d, "alice", &rep));
	cr_assert(eq(int, rep.keys.v[0].status, KEY_STATUS_INACTIVE));
	CHECK_OK(d, set_status(d, "alice", id, KEY_STATUS_ACTIVE));
	cr_assert(eq(int, row_of(d, id).status, KEY_STATUS_ACTIVE));
	CHECK_FAILS(d, set_status(d, "alice", id, KEY_STATUS_NONE), HW_EVALIDATION, "Status");
	CHECK_OK(d, delete_key(d, "alice", id));
	CHECK_FAILS(d, delete_key(d, "alice", id), HW_ENOTFOUND, id);
	CHECK_FAILS(d, set_status(d, "alice", id, KEY_STATUS_ACTIVE), HW_ENOTFOUND, id);
	desk_free(d);
}

/* Policies decide on the user that a request names: the key must be that user's. */
Test(keys, of_another_user_are_not_found_under_one_s_own_name)
{
	struct desk *d = desk_new(false);
	const char *id = make_key(d, "alice").access_key_id;

	desk_user(d, "bob", false);
	CHECK_FAILS(d, set_status(d, "bob", id, KEY_STATUS_INACTIVE), HW_ENOTFOUND, id);
	CHECK_FAILS(d, delete_key(d, "bob", id), HW_ENOTFOUND, id);
	cr_assert(eq(int, row_of(d, id).status, KEY_STATUS_ACTIVE));
	desk_free(d);
}

Test(keys, stay_with_a_disabled_user_and_go_with_a_removed_one)
{
	struct desk *d = desk_new(false);
	struct msg_update_user_request disable = {
		.user_name = "bob", .status = USER_STATUS_DISABLED};
	struct msg_delete_user_request gone = {.user_name = "bob"};
	struct msg_list_access_keys_reply rep;
	struct msg_empty empty;

	desk_user(d, "bob", false);
	struct getting w = {.id = make_key(d, "bob").access_key_id};
	CHECK_OK(d, CALL(d, update_user, &disable, &empty));
	CHECK_OK(d, list_keys(d, "bob", &rep));
	cr_assert(eq(sz, rep.keys.n, 1));
	CHECK_OK(d, CALL(d, delete_user, &gone, &empty));
	CHECK_FAILS(d, store_read(d->env.store, get, &w, &d->err), HW_ENOTFOUND, w.id);
	desk_user(d, "bob", false); /* another one */
	CHECK_OK(d, list_keys(d, "bob", &rep));
	cr_assert(eq(sz, rep.keys.n, 0));
	desk_free(d);
}
