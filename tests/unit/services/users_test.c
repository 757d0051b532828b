#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

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
