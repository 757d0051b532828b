#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "relay/store/users.h"
#include "tests/unit/services/desk.h"

static struct cert_identity
identity_of(struct desk *d, const struct msg_bin *der)
{
	struct cert_identity who;
	X509 *cert;

	CHECK_OK(d, cert_parse(&cert, der->p, der->n, &d->err));
	CHECK_OK(d,
		cert_verify(cert, ca_cert(d->env.ca), clock_wall(&d->clock.clock), false, &d->err));
	CHECK_OK(d, cert_identity(&who, cert, ca_fleet(d->env.ca), &d->err));
	X509_free(cert);
	return who;
}

Test(users, a_new_one_logs_in_once_with_its_invite)
{
	struct desk *d = desk_new(false);
	struct msg_login_request req = {
		.invite = desk_user(d, "bob@example.com", false), .csr = desk_csr(d)};
	struct msg_login_reply rep;

	CHECK_OK(d, CALL(d, login, &req, &rep));
	cr_assert_str_eq(rep.user_name, "bob@example.com");
	cr_assert(rep.expires == NOON + DAY / 2);
	struct cert_identity who = identity_of(d, &rep.certificate);
	cr_assert_str_eq(who.id, "bob@example.com");
	cr_assert(eq(int, who.role, ROLE_USER));
	cr_assert(who.not_before >= NOON); /* not before there was such a user */
	CHECK_FAILS(d, CALL(d, login, &req, &rep), HW_EINVITE, "used already");
	desk_free(d);
}

Test(users, how_long_a_login_lasts_is_a_setting)
{
	struct desk *d = desk_new(false);
	struct msg_login_request req = {.csr = desk_csr(d), .invite = desk_user(d, "bob", false)};
	struct msg_login_reply rep;

	d->config.user_certificate_hours = 2;
	CHECK_OK(d, CALL(d, login, &req, &rep));
	cr_assert(rep.expires == NOON + 2 * 3600 * USEC_PER_SEC);
	desk_free(d);
}

Test(users, a_bad_request_leaves_the_invite_good)
{
	struct desk *d = desk_new(false);
	struct msg_login_request req = {
		.invite = desk_user(d, "bob", false), .csr = {(const uint8_t *)"x", 1}
	      };
	struct msg_login_reply rep;

	CHECK_FAILS(d, CALL(d, login, &req, &rep), HW_EVALIDATION, "");
	req.csr = desk_csr(d);
	CHECK_OK(d, CALL(d, login, &req, &rep));
	desk_free(d);
}

Test(users, an_invite_ends_in_time_and_by_the_next_one)
{
	struct desk *d = desk_new(false);
	struct msg_login_request req = {.csr = desk_csr(d)};
	struct msg_login_reply rep;
	struct msg_create_invite_request again = {.user_name = "bob", .expires_seconds = 60};
	struct msg_create_invite_reply invite;

	req.invite = desk_user(d, "bob", false);
	CHECK_OK(d, CALL(d, create_invite, &again, &invite));
	cr_assert(invite.expires == NOON + 60 * USEC_PER_SEC);
	CHECK_FAILS(d, CALL(d, login, &req, &rep), HW_EINVITE, "not known");
	cr_assert(eq(ptr, strstr(d->err.text, req.invite), NULL)); /* no secret in a sentence */
	fake_clock_advance(&d->clock, 60 * USEC_PER_SEC);
	req.invite = invite.invite;
	CHECK_FAILS(d, CALL(d, login, &req, &rep), HW_EINVITE, "expired");
	again.user_name = "nobody";
	CHECK_FAILS(d, CALL(d, create_invite, &again, &invite), HW_ENOTFOUND, "nobody");
	desk_free(d);
}

Test(users, names_are_checked)
{
	struct desk *d = desk_new(false);
	static const char *const bad[] = {"", "a b", "../x", "a/b", "\xc3\xa9", "a\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct msg_create_user_request req = {.admin = false};
	struct msg_create_user_reply rep;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		req.user_name = bad[i];
		CHECK_FAILS(d, CALL(d, create_user, &req, &rep), HW_EVALIDATION, "UserName");
	}
	req.user_name = "alice";
	CHECK_FAILS(d, CALL(d, create_user, &req, &rep), HW_EEXISTS, "alice");
	desk_free(d);
}

Test(users, neither_oneself_nor_the_last_administrator_can_be_removed)
{
	struct desk *d = desk_new(false);
	struct msg_delete_user_request req = {.user_name = "alice"};
	struct msg_empty rep;

	desk_user(d, "bob", false);
	CHECK_FAILS(d, CALL(d, delete_user, &req, &rep), HW_EVALIDATION, "yourself");
	desk_as_user(d, "bob"); /* policies are dispatch's, not the handler's */
	CHECK_FAILS(d, CALL(d, delete_user, &req, &rep), HW_EVALIDATION, "last administrator");
	desk_as_user(d, "alice");
	req.user_name = "bob";
	d->n_changed = 0;
	CHECK_OK(d, CALL(d, delete_user, &req, &rep));
	cr_assert(eq(sz, d->n_changed, 1));
	cr_assert_str_eq(d->changed[0], "bob");
	CHECK_FAILS(d, CALL(d, delete_user, &req, &rep), HW_ENOTFOUND, "bob");
	desk_user(d, "carol", true);
	desk_as_user(d, "carol");
	req.user_name = "alice";
	CHECK_OK(d, CALL(d, delete_user, &req, &rep));
	desk_free(d);
}

static int
set_status(struct desk *d, const char *user, int status)
{
	struct msg_update_user_request req = {.user_name = user, .status = status};
	struct msg_empty rep;

	return CALL(d, update_user, &req, &rep);
}

static struct msg_user *
show(struct desk *d, const char *name)
{
	struct msg_get_user_request req = {.user_name = name};
	struct msg_get_user_reply rep;

	CHECK_OK(d, CALL(d, get_user, &req, &rep));
	return rep.user;
}

Test(users, one_is_made_with_all_that_belongs_to_it)
{
	struct desk *d = desk_new(false);
	struct msg_tag tags[] = {
		{"Team", "blue"},
		  {"Env",  ""    }
	     };
	const char *groups[] = {"ops", "dev"};
	struct msg_create_group_request group = {.group_name = "ops"};
	struct msg_group_reply made;
	struct msg_create_user_request req = {
		.user_name = "bot",
		.type = USER_TYPE_SERVICE,
		.admin = true,
		.tags = {tags,   2},
		.groups = {groups, 2},
	};
	struct msg_create_user_reply rep;

	CHECK_OK(d, CALL(d, create_group, &group, &made));
	d->n_changed = 0;
	CHECK_FAILS(d, CALL(d, create_user, &req, &rep), HW_ENOTFOUND, "no group dev");
	cr_assert(eq(sz, d->n_changed, 0)); /* and there is no such user */
	group.group_name = "dev";
	CHECK_OK(d, CALL(d, create_group, &group, &made));
	d->n_changed = 0;
	CHECK_OK(d, CALL(d, create_user, &req, &rep));
	cr_assert(eq(sz, d->n_changed, 2));
	cr_assert(ne(int, d->kinds[0], d->kinds[1])); /* the user, and the grants */
	const struct msg_user *const views[] = {rep.user, show(d, "bot")};
	for (size_t i = 0; i < 2; i++) {
		const struct msg_user *u = views[i];
		cr_assert_str_eq(u->user_name, "bot");
		cr_assert(ne(ptr, strstr(u->arn, ":user/bot"), NULL));
		cr_assert(eq(int, u->type, USER_TYPE_SERVICE));
		cr_assert(eq(int, u->status, USER_STATUS_INVITED));
		cr_assert(eq(sz, u->tags.n, 2));
		cr_assert_str_eq(u->tags.v[1].value, "blue");
		cr_assert(eq(sz, u->groups.n, 2));
		cr_assert_str_eq(u->groups.v[0], "dev");
		cr_assert_str_eq(u->groups.v[1], "ops");
		cr_assert(eq(sz, u->policies.n, 1));
		cr_assert_str_eq(u->policies.v[0], "administrator");
		cr_assert(u->created == NOON && u->last_login == 0 && u->last_used == 0);
	}
	cr_assert(eq(int, show(d, "alice")->type, USER_TYPE_USER));
	struct msg_get_user_request no = {.user_name = "nobody"};
	struct msg_get_user_reply none;
	CHECK_FAILS(d, CALL(d, get_user, &no, &none), HW_ENOTFOUND, "no user nobody");
	desk_free(d);
}

Test(users, tags_are_added_replaced_and_removed)
{
	struct desk *d = desk_new(false);
	struct msg_tag two[] =
		{
			{"Team", "blue"},
			  {"Env",  "prod"}
	 },
		       one[] = {{"Team", "red"}}, other_case[] = {{"TEAM", "red"}},
		       twice[] = {{"A", "1"}, {"a", "2"}}, escape[] = {{"A", "\x1b[2J"}};
	struct msg_tag_user_request req = {
		.user_name = "alice", .tags = {two, 2}
	      };
	const char *keys[] = {"Team", "not there"};
	struct msg_untag_user_request untag = {
		.user_name = "alice", .tag_keys = {keys, 2}
	   };
	struct msg_empty rep;

	d->n_changed = 0;
	CHECK_OK(d, CALL(d, tag_user, &req, &rep));
	cr_assert(eq(sz, d->n_changed, 1));
	cr_assert_str_eq(d->changed[0], "alice");
	cr_assert(eq(int, d->kinds[0], STORE_USER));
	req.tags.n = 1;
	req.tags.v = one;
	CHECK_OK(d, CALL(d, tag_user, &req, &rep));
	cr_assert_str_eq(show(d, "alice")->tags.v[1].value, "red");
	req.tags.v = other_case;
	CHECK_FAILS(d, CALL(d, tag_user, &req, &rep), HW_EVALIDATION, "alice");
	req.tags.v = escape;
	CHECK_FAILS(d, CALL(d, tag_user, &req, &rep), HW_EVALIDATION, "control characters");
	req.tags.v = twice;
	req.tags.n = 2;
	CHECK_FAILS(d, CALL(d, tag_user, &req, &rep), HW_EVALIDATION, "Tags[1]");
	cr_assert(eq(sz, show(d, "alice")->tags.n, 2));
	d->n_changed = 0;
	CHECK_OK(d, CALL(d, untag_user, &untag, &rep));
	cr_assert(eq(sz, d->n_changed, 1));
	cr_assert(eq(sz, show(d, "alice")->tags.n, 1));
	req.user_name = untag.user_name = "bob";
	req.tags.v = one;
	req.tags.n = 1;
	CHECK_FAILS(d, CALL(d, tag_user, &req, &rep), HW_ENOTFOUND, "no user bob");
	CHECK_FAILS(d, CALL(d, untag_user, &untag, &rep), HW_ENOTFOUND, "no user bob");
	desk_free(d);
}

Test(users, one_has_fifty_tags_at_most)
{
	struct desk *d = desk_new(false);
	struct msg_tag tag = {.value = "x"};
	struct msg_tag_user_request req = {
		.user_name = "alice", .tags = {&tag, 1}
	       };
	struct msg_empty rep;
	char key[16];

	tag.key = key;
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		CHECK_OK(d, CALL(d, tag_user, &req, &rep));
	}
	snprintf(key, sizeof(key), "more");
	CHECK_FAILS(d, CALL(d, tag_user, &req, &rep), HW_ETOOMANYTAGS, "51");
	cr_assert(eq(sz, show(d, "alice")->tags.n, 50));
	desk_free(d);
}

Test(users, a_disabled_one_neither_logs_in_nor_renews)
{
	struct desk *d = desk_new(false);
	struct msg_login_request login = {.csr = desk_csr(d)};
	struct msg_login_reply logged_in;
	struct msg_renew_certificate_request renew = {.csr = desk_csr(d)};
	struct msg_renew_certificate_reply renewed;

	login.invite = desk_user(d, "bob", false);
	d->n_changed = 0;
	CHECK_OK(d, set_status(d, "bob", USER_STATUS_DISABLED));
	cr_assert(eq(sz, d->n_changed, 1));
	cr_assert_str_eq(d->changed[0], "bob");
	cr_assert(eq(int, d->kinds[0], STORE_USER));
	cr_assert(eq(int, show(d, "bob")->status, USER_STATUS_DISABLED));
	CHECK_FAILS(d, CALL(d, login, &login, &logged_in), HW_EINVITE, "the user is disabled");
	desk_as_user(d, "bob");
	d->who.not_before = NOON;
	CHECK_FAILS(d, CALL(d, renew_certificate, &renew, &renewed), HW_EREVOKED,
		"the user bob is disabled");
	desk_as_user(d, "alice");
	CHECK_OK(d, set_status(d, "bob", USER_STATUS_ACTIVE));
	cr_assert(eq(int, show(d, "bob")->status, USER_STATUS_INVITED));
	CHECK_OK(d, CALL(d, login, &login, &logged_in)); /* the invite was not used up */
	cr_assert(eq(int, show(d, "bob")->status, USER_STATUS_ACTIVE));
	desk_as_user(d, "bob");
	d->who.not_before = NOON;
	CHECK_OK(d, CALL(d, renew_certificate, &renew, &renewed));
	desk_free(d);
}

Test(users, a_status_is_one_that_can_be_set_and_not_one_s_own)
{
	struct desk *d = desk_new(false);

	CHECK_FAILS(d, set_status(d, "alice", USER_STATUS_INVITED), HW_EVALIDATION, "Status");
	CHECK_FAILS(d, set_status(d, "alice", USER_STATUS_NONE), HW_EVALIDATION, "Status");
	CHECK_FAILS(d, set_status(d, "alice", USER_STATUS_DISABLED), HW_EVALIDATION, "yourself");
	CHECK_FAILS(d, set_status(d, "bob", USER_STATUS_DISABLED), HW_ENOTFOUND, "no user bob");
	desk_user(d, "bob", false);
	desk_as_user(d, "bob"); /* policies are dispatch's, not the handler's */
	CHECK_FAILS(d, set_status(d, "alice", USER_STATUS_DISABLED), HW_EVALIDATION,
		"alice is the last administrator");
	cr_assert(eq(int, show(d, "alice")->status, USER_STATUS_INVITED));
	desk_free(d);
}

/* Two administrators who take each other's power at the same moment: one of them keeps it. */
struct rival {
	struct desk *d;
	enum op_id op;
	const char *self, *other;
	struct hw_err err;
	int result;
	pthread_barrier_t *start;
	pthread_t thread;
};

static void *
fight(void *arg)
{
	struct rival *r = arg;
	struct desk mine = *r->d;
	struct msg_attach_policy_request detach = {
		.policy_name = "administrator", .user_name = r->other};
	struct msg_update_user_request disable = {
		.user_name = r->other, .status = USER_STATUS_DISABLED};
	struct msg_delete_user_request remove = {.user_name = r->other};
	const void *req = r->op == OP_detach_policy ? (const void *)&detach
		: r->op == OP_update_user	    ? (const void *)&disable
						    : (const void *)&remove;
	struct msg_empty rep;

	mine.arena = arena_new(1 << 20);
	desk_as_user(&mine, r->self);
	pthread_barrier_wait(r->start);
	r->result = desk_call(&mine, &r->err, r->op, req, &rep, sizeof(rep));
	arena_free(mine.arena);
	return NULL;
}

static void
fight_over(struct desk *d, enum op_id op)
{
	pthread_barrier_t start;
	struct rival rivals[] = {
		{.d = d, .op = op, .self = "alice", .other = "bob",   .start = &start},
		{.d = d, .op = op, .self = "bob",	  .other = "alice", .start = &start},
	};

	cr_assert(eq(int, pthread_barrier_init(&start, NULL, 2), 0));
	for (int i = 0; i < 2; i++)
		cr_assert(eq(int, pthread_create(&rivals[i].thread, NULL, fight, &rivals[i]), 0));
	for (int i = 0; i < 2; i++)
		pthread_join(rivals[i].thread, NULL);
	pthread_barrier_destroy(&start);
	const struct rival *won = rivals[0].result == 0 ? &rivals[0] : &rivals[1];
	const struct rival *lost = won == &rivals[0] ? &rivals[1] : &rivals[0];
	cr_assert(eq(int, won->result, 0), "%s", won->err.text);
	cr_assert(eq(int, lost->result, HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(lost->err.text, "is the last administrator"), NULL), "%s",
		lost->err.text);
	cr_assert(eq(int, strncmp(lost->err.text, won->self, strlen(won->self)), 0));
}

Test(users, of_two_administrators_who_remove_each_other_one_is_left)
{
	static const enum op_id ops[] = {OP_detach_policy, OP_update_user, OP_delete_user};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		for (int round = 0; round < 5; round++) {
			struct desk *d = desk_new(true);
			desk_user(d, "bob", true);
			fight_over(d, ops[i]);
			desk_free(d);
		}
	}
}

Test(users, a_removed_one_gets_no_new_certificate)
{
	struct desk *d = desk_new(false);
	struct msg_renew_certificate_request req = {.csr = desk_csr(d)};
	struct msg_renew_certificate_reply rep;
	struct msg_delete_user_request gone = {.user_name = "bob"};
	struct msg_empty empty;

	desk_user(d, "bob", false);
	desk_as_user(d, "bob");
	d->who.not_before = NOON;
	CHECK_OK(d, CALL(d, renew_certificate, &req, &rep));
	cr_assert_str_eq(identity_of(d, &rep.certificate).id, "bob");
	cr_assert(rep.expires == NOON + DAY / 2);
	desk_as_user(d, "alice");
	CHECK_OK(d, CALL(d, delete_user, &gone, &empty));
	desk_as_user(d, "bob");
	d->who.not_before = NOON;
	CHECK_FAILS(d, CALL(d, renew_certificate, &req, &rep), HW_EREVOKED, "bob");
	/* Another user of that name does not make the old certificate good. */
	fake_clock_advance(&d->clock, 500000);
	desk_user(d, "bob", true);
	CHECK_FAILS(d, CALL(d, renew_certificate, &req, &rep), HW_EREVOKED, "bob");
	desk_free(d);
}

Test(users, lists_page_by_name)
{
	struct desk *d = desk_new(false);
	struct msg_list_users_request req = {.max_results = 2};
	struct msg_list_users_reply rep;

	desk_user(d, "bob", true);
	desk_user(d, "carol", false);
	CHECK_OK(d, CALL(d, list_users, &req, &rep));
	cr_assert(eq(sz, rep.users.n, 2));
	cr_assert_str_eq(rep.users.v[1].user_name, "bob");
	cr_assert(eq(int, rep.users.v[1].status, USER_STATUS_INVITED));
	cr_assert(eq(sz, rep.users.v[1].policies.n, 1));
	cr_assert(ne(ptr, (void *)(uintptr_t)rep.next_token, NULL));
	desk_user(d, "a-new-one", false); /* before the page: moves nothing */
	req.next_token = rep.next_token;
	CHECK_OK(d, CALL(d, list_users, &req, &rep));
	cr_assert(eq(sz, rep.users.n, 1));
	cr_assert_str_eq(rep.users.v[0].user_name, "carol");
	cr_assert(eq(ptr, (void *)(uintptr_t)rep.next_token, NULL));
	desk_free(d);
}

Test(users, lists_leave_out_whom_the_caller_may_not_see)
{
	struct desk *d = desk_new(false);
	struct msg_tag tags[] = {
		{"Team", "red"}
	       };
	struct msg_tag_user_request tag = {
		.user_name = "bob", .tags = {tags, 1}
	     };
	struct msg_list_users_request req = {.max_results = 1};
	struct msg_list_users_reply rep;
	struct msg_empty empty;

	desk_user(d, "bob", false);
	desk_user(d, "carol", false);
	CHECK_OK(d, CALL(d, tag_user, &tag, &empty));
	d->hidden = "red"; /* by a tag, as policies may */
	CHECK_OK(d, CALL(d, list_users, &req, &rep));
	cr_assert(eq(sz, rep.users.n, 1));
	cr_assert_str_eq(rep.users.v[0].user_name, "alice");
	req.next_token = rep.next_token;
	CHECK_OK(d, CALL(d, list_users, &req, &rep));
	cr_assert(eq(sz, rep.users.n, 1));
	cr_assert_str_eq(rep.users.v[0].user_name, "carol");
	cr_assert(eq(ptr, (void *)(uintptr_t)rep.next_token, NULL));
	d->hidden = "user/"; /* all of them */
	req.next_token = NULL;
	CHECK_OK(d, CALL(d, list_users, &req, &rep));
	cr_assert(eq(sz, rep.users.n, 0));
	cr_assert(eq(ptr, (void *)(uintptr_t)rep.next_token, NULL));
	desk_free(d);
}

static int
add_crowd(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row row = {.created = NOON};
	int r = 0;

	(void)arg;
	for (int i = 0; r == 0 && i < 2000; i++) {
		snprintf(row.name, sizeof(row.name), "crowd-%04d", i);
		r = user_insert(db, &row, err);
	}
	return r;
}

/* What is after a crowd of them is on the first page. */
Test(users, those_left_out_take_no_room_in_the_page)
{
	struct desk *d = desk_new(false);
	struct msg_list_users_request req = {.max_results = 10};
	struct msg_list_users_reply rep;

	CHECK_OK(d, store_write(d->env.store, add_crowd, NULL, &d->err));
	desk_user(d, "zoe", false);
	d->hidden = "crowd";
	arena_free(d->arena);
	d->arena = arena_new(320 * 1024); /* nor do they take what the reply needs */
	CHECK_OK(d, CALL(d, list_users, &req, &rep));
	cr_assert(eq(sz, rep.users.n, 2));
	cr_assert_str_eq(rep.users.v[1].user_name, "zoe");
	desk_free(d);
}

Test(users, a_page_token_is_of_one_operation_and_one_caller_and_cannot_be_changed)
{
	struct desk *d = desk_new(false);
	struct msg_list_users_request req = {.max_results = 1};
	struct msg_list_users_reply rep;
	struct msg_describe_activations_request other = {.max_results = 1};
	struct msg_describe_activations_reply other_rep;
	char token[512];

	desk_user(d, "bob", false);
	CHECK_OK(d, CALL(d, list_users, &req, &rep));
	snprintf(token, sizeof(token), "%s", rep.next_token);
	other.next_token = token;
	CHECK_FAILS(d, CALL(d, describe_activations, &other, &other_rep), HW_ENEXTTOKEN,
		"NextToken");
	req.next_token = token;
	desk_as_user(d, "bob");
	CHECK_FAILS(d, CALL(d, list_users, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	desk_as_user(d, "alice");
	token[20] = token[20] == 'A' ? 'B' : 'A';
	CHECK_FAILS(d, CALL(d, list_users, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	req.next_token = "!";
	CHECK_FAILS(d, CALL(d, list_users, &req, &rep), HW_ENEXTTOKEN, "NextToken");
	desk_free(d);
}

Test(identity, users_see_the_fleet_and_nodes_do_not)
{
	struct desk *d = desk_new(false);
	struct msg_empty req = {.unused = false};
	struct msg_get_caller_identity_reply rep;
	const char *id = desk_join(d, "web-01");

	snprintf(d->broker.online[0], sizeof(d->broker.online[0]), "%s", id);
	CHECK_OK(d, CALL(d, get_caller_identity, &req, &rep));
	cr_assert(ne(ptr, strstr(rep.fleet, ca_fleet(d->env.ca)), NULL));
	cr_assert(rep.nodes_online == 1);
	desk_as_node(d, id);
	CHECK_OK(d, CALL(d, get_caller_identity, &req, &rep));
	cr_assert(rep.nodes_online == 0);
	cr_assert(eq(ptr, (void *)(uintptr_t)rep.user_name, NULL));
	desk_free(d);
}

#define MANY 1000

static int
add_many(void *arg, struct db *db, struct hw_err *err)
{
	struct user_row row = {
		.type = USER_TYPE_SERVICE, .created = NOON, .last_login = NOON, .last_used = NOON};
	int r = 0;

	(void)arg;
	for (int i = 0; r == 0 && i < MANY; i++) {
		snprintf(row.name, sizeof(row.name), "firstname.lastname-%04d@subsidiary.example",
			i);
		r = user_insert(db, &row, err);
	}
	return r;
}

Test(list_users, pages_fit_frames)
{
	struct desk *d = desk_new(false);
	struct msg_list_users_request req = {.max_results = 0};
	struct msg_list_users_reply rep;
	size_t n = 0;

	CHECK_OK(d, store_write(d->env.store, add_many, NULL, &d->err));
	do {
		struct buf body;
		buf_init(&body, FRAME_BODY_MAX);
		CHECK_OK(d, CALL(d, list_users, &req, &rep));
		CHECK_OK(d, msg_encode(&body, MSG_ROW(list_users_reply), &rep, &d->err));
		buf_fini(&body);
		n += rep.users.n;
		req.next_token = rep.next_token;
	} while (rep.next_token != NULL);
	cr_assert(eq(sz, n, MANY + 1));
	desk_free(d);
}
