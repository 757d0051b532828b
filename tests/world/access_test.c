/* Who is let in, what they may, and how they are put out again. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <openssl/x509.h>

#include "proto/trust/sigv4.h"
#include "tests/world/world.h"

static struct world_peer *
new_user(struct world_peer *admin, const char *name, bool as_admin)
{
	struct msg_create_user_request req = {.user_name = name, .admin = as_admin};
	struct msg_create_user_reply *rep;
	struct hw_err err = HW_ERR_INIT;
	char why[384];

	cr_assert(eq(int, world_call(admin, OP_create_user, &req, &rep, why), 0), "%s", why);
	struct world_peer *p = world_user(admin->world, rep->invite);
	cr_assert(eq(int, world_connect(p, &err), 0), "%s", err.text);
	return p;
}

Test(access, who_is_no_administrator_may_nothing_and_each_attempt_is_one_entry)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *bob = new_user(admin, "bob", false);
	struct world_peer *node = world_node(w, admin, "web-01");
	struct msg_start_session_request req = {.target = node->who.id};
	struct msg_describe_instance_information_request list = {.max_results = 50};
	struct hw_err err = HW_ERR_INIT;
	char why[384];

	cr_assert(eq(int, world_connect(node, &err), 0));
	cr_assert(eq(int, world_call(bob, OP_start_session, &req, NULL, why), HW_EDENIED));
	cr_assert(ne(ptr, strstr(why, "bob"), NULL));
	cr_assert(eq(int, world_call(bob, OP_describe_instance_information, &list, NULL, NULL),
		HW_EDENIED));
	cr_assert(eq(sz, world_entries(w, "decision", "ssm:StartSession", OUTCOME_DENIED), 1));
	cr_assert(eq(sz, world_entries(w, "outcome", "ssm:StartSession", 0), 0));
	world_peer_free(bob);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, an_allowed_operation_has_its_intent_and_its_outcome_in_the_ledger)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *bob = new_user(admin, "bob", false);

	cr_assert(eq(sz, world_entries(w, "decision", "iam:CreateUser", OUTCOME_ALLOWED), 1));
	cr_assert(eq(sz, world_entries(w, "outcome", "iam:CreateUser", OUTCOME_OK), 1));
	world_peer_free(bob);
	world_peer_free(admin);
	world_free(w);
}

Test(access, nodes_may_not_use_the_control_api)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct msg_describe_sessions_request req = {.state = SESSION_STATE_ACTIVE};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	cr_assert(eq(int, world_call(node, OP_describe_sessions, &req, NULL, NULL), HW_EDENIED));
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_removed_user_is_cut_at_once_with_its_sessions_and_stays_out)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *eve = new_user(admin, "eve", true);
	struct world_peer *node = world_node(w, admin, "web-01");
	struct msg_delete_user_request req = {.user_name = "eve"};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	world_shell(eve, node);
	cr_assert(eq(int, world_call(admin, OP_delete_user, &req, NULL, NULL), 0));
	world_advance(w, 2 * USEC_PER_SEC);
	cr_assert(not(eve->up));
	cr_assert(eq(int, eve->down_code, HW_EREVOKED));
	cr_assert(node->opened->closed);
	cr_assert(eq(int, world_connect(eve, &err), HW_EREVOKED));
	cr_assert(eq(sz, world_entries(w, "link.refused", NULL, OUTCOME_DENIED), 1));

	struct msg_create_user_request again = {.user_name = "eve", .admin = true};
	cr_assert(eq(int, world_call(admin, OP_create_user, &again, NULL, NULL), 0));
	cr_assert(eq(int, world_connect(eve, &err), HW_EREVOKED),
		"a new user of that name is another one");
	world_peer_free(eve);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_disabled_user_is_cut_with_its_sessions_and_let_in_again_when_enabled)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *eve = new_user(admin, "eve", true);
	struct world_peer *node = world_node(w, admin, "web-01");
	struct msg_update_user_request req = {.user_name = "eve", .status = USER_STATUS_DISABLED};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	world_shell(eve, node);
	cr_assert(eq(int, world_call(admin, OP_update_user, &req, NULL, NULL), 0));
	world_advance(w, 2 * USEC_PER_SEC);
	cr_assert(not(eve->up));
	cr_assert(eq(int, eve->down_code, HW_EREVOKED));
	cr_assert(node->opened->closed);
	cr_assert(eq(int, world_connect(eve, &err), HW_EREVOKED));
	req.status = USER_STATUS_ACTIVE;
	cr_assert(eq(int, world_call(admin, OP_update_user, &req, NULL, NULL), 0));
	cr_assert(eq(int, world_connect(eve, &err), 0), "%s", err.text);
	world_peer_free(eve);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, an_access_key_is_in_the_ledger_with_nothing_of_its_secret)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct msg_create_access_key_request req = {.user_name = admin->who.id};
	struct msg_create_access_key_reply *rep;
	char why[384];

	cr_assert(eq(int, world_call(admin, OP_create_access_key, &req, &rep, why), 0), "%s", why);
	cr_assert(eq(sz, strlen(rep->secret_access_key), 40));
	cr_assert(eq(sz, world_entries(w, "outcome", "iam:CreateAccessKey", OUTCOME_OK), 1));
	cr_assert(ge(sz, world_entries_with(w, "iam:CreateAccessKey"), 2));
	cr_assert(eq(sz, world_entries_with(w, rep->secret_access_key), 0));
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_removed_node_is_cut_and_its_id_is_dead)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct msg_deregister_managed_instance_request req = {.instance_id = node->who.id};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	struct world_channel *c = world_shell(admin, node);
	cr_assert(eq(int, world_call(admin, OP_deregister_managed_instance, &req, NULL, NULL), 0));
	world_advance(w, 2 * USEC_PER_SEC);
	cr_assert(not(node->up));
	cr_assert(eq(int, node->down_code, HW_EREVOKED));
	cr_assert(c->closed);
	cr_assert(eq(int, world_connect(node, &err), HW_EREVOKED));
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_node_that_dials_again_replaces_its_old_link)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct world_peer twin = *node;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	cr_assert(eq(int, world_connect(&twin, &err), 0));
	world_settle(w);
	cr_assert(not(node->up));
	cr_assert(twin.up);
	link_close(twin.link, HW_ECLOSED, "");
	world_settle(w);
	pair_free(twin.pair);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, an_invite_and_an_activation_work_once)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	const char *reply;
	char *body = arena_printf(w->arena,
		"{\"Invite\":\"%s\",\"CertificateSigningRequest\":\"AAAA\"}", w->invite);

	cr_assert(eq(int, world_http(w, "Login", body, &reply), 400));
	cr_assert(ne(ptr, strstr(reply, "__type"), NULL));
	cr_assert(eq(ptr, strstr(reply, w->invite), NULL), "a secret is never in an error");
	world_peer_free(admin);
	world_free(w);
}

/* --- guesses, and messages that come again ---------------------------------------------------- */

#define WRONG "sesame-open-sesame-open"

static int
login(struct world *w, const char *source, const char *invite, const char **reply)
{
	struct msg_login_request req = {.invite = invite, .csr = world_csr(w)};

	return world_http_as(w, source, OP_login, &req, reply);
}

static int
join(struct world *w, const char *source, const struct msg_create_activation_reply *made,
	const char *code, const char **reply)
{
	struct msg_register_managed_instance_request req = {
		.activation_id = made->activation_id,
		.activation_code = code,
		.csr = world_csr(w),
	};

	return world_http_as(w, source, OP_register_managed_instance, &req, reply);
}

static struct msg_create_activation_reply *
new_activation(struct world_peer *admin, int64_t limit)
{
	struct msg_create_activation_request req = {.iam_role = "r", .registration_limit = limit};
	struct msg_create_activation_reply *made;

	cr_assert(eq(int, world_call(admin, OP_create_activation, &req, &made, NULL), 0));
	return made;
}

Test(access, who_guesses_at_invites_waits_longer_and_longer_and_others_do_not)
{
	struct world *w = world_new(NULL);
	const char *reply;

	for (int i = 0; i < 5; i++)
		cr_assert(eq(int, login(w, "192.0.2.7", WRONG, &reply), 400), "%s", reply);
	cr_assert(eq(int, login(w, "192.0.2.7", w->invite, &reply), 429), "even with a good one");
	cr_assert(ne(ptr, strstr(reply, "ThrottlingException"), NULL), "%s", reply);
	cr_assert(ne(ptr, strstr(reply, "192.0.2.7: try again in 1 second"), NULL), "%s", reply);
	world_advance(w, USEC_PER_SEC);
	cr_assert(eq(int, login(w, "192.0.2.7", WRONG, &reply), 400), "%s", reply);
	world_advance(w, USEC_PER_SEC);
	cr_assert(eq(int, login(w, "192.0.2.7", w->invite, &reply), 429));
	cr_assert(eq(dbl, world_metric(w, "attempts_held_back_total"), 2));
	cr_assert(eq(int, login(w, "192.0.2.8", w->invite, &reply), 200), "%s", reply);
	cr_assert(eq(sz, world_entries(w, "alarm", "Login", OUTCOME_DENIED), 1));
	cr_assert(eq(sz, world_entries(w, "decision", "Login", OUTCOME_DENIED), 7),
		"each guess and each time that it was held back, but the alarm");
	world_free(w);
}

Test(access, held_back_attempts_cannot_fill_the_ledger)
{
	struct world *w = world_new(NULL);

	for (int i = 0; i < 500; i++)
		login(w, "192.0.2.7", WRONG, NULL);
	cr_assert(lt(sz, world_entries(w, "decision", "Login", OUTCOME_DENIED), 100));
	cr_assert(eq(sz, world_entries(w, "alarm", "Login", OUTCOME_DENIED), 1));
	world_free(w);
}

Test(access, a_crowd_that_guesses_at_an_activation_keeps_no_honest_node_out)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct msg_create_activation_reply *made = new_activation(admin, 1);
	const char *reply;
	char source[64];

	for (int i = 0; i < 50; i++) {
		snprintf(source, sizeof(source), "198.51.100.%d", i);
		cr_assert(eq(int, join(w, source, made, WRONG, &reply), 400), "%s", reply);
	}
	cr_assert(eq(int, join(w, source, made, WRONG, &reply), 429), "%s", reply);
	cr_assert(eq(int, join(w, "192.0.2.8", made, made->activation_code, &reply), 200), "%s",
		reply);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_setting_says_how_many_failures_are_free)
{
	struct world *w = world_new("login_failures = 2\n");
	const char *reply;

	login(w, "2001:db8::1", WRONG, NULL);
	login(w, "2001:db8::2", WRONG, NULL);
	cr_assert(eq(int, login(w, "2001:db8::3", WRONG, &reply), 429), "%s", reply);
	world_free(w);
}

Test(access, a_login_or_join_that_is_sent_again_gains_nothing)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct msg_create_activation_reply *made = new_activation(admin, 1);
	struct msg_register_managed_instance_request joining = {
		.activation_id = made->activation_id,
		.activation_code = made->activation_code,
		.csr = world_csr(w),
	};
	struct msg_create_invite_request ask = {.user_name = "admin"};
	struct msg_create_invite_reply *invite;
	const char *reply;

	cr_assert(eq(int, world_call(admin, OP_create_invite, &ask, &invite, NULL), 0));
	struct msg_login_request logging_in = {.invite = invite->invite, .csr = world_csr(w)};
	cr_assert(eq(int, world_http_as(w, "192.0.2.1", OP_login, &logging_in, &reply), 200));
	cr_assert(eq(int, world_http_as(w, "192.0.2.2", OP_login, &logging_in, &reply), 400));
	cr_assert(ne(ptr, strstr(reply, "InvalidInvite"), NULL), "%s", reply);
	cr_assert(eq(ptr, strstr(reply, "Certificate\":"), NULL), "%s", reply);

	cr_assert(eq(int,
		world_http_as(w, "192.0.2.1", OP_register_managed_instance, &joining, &reply),
		200));
	cr_assert(eq(int,
		world_http_as(w, "192.0.2.2", OP_register_managed_instance, &joining, &reply),
		400));
	cr_assert(ne(ptr, strstr(reply, "InvalidActivation"), NULL), "%s", reply);
	cr_assert(eq(dbl, world_metric(w, "nodes_registered"), 1));
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_field_that_is_wrong_is_named)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	const char *reply;

	cr_assert(eq(int, world_http(w, "Login", "{\"Invite\":7}", &reply), 400));
	cr_assert(ne(ptr, strstr(reply, "Invite"), NULL), "%s", reply);
	cr_assert(eq(int, world_http(w, "Login", "{", &reply), 400));
	cr_assert(ne(ptr, strstr(reply, "SerializationException"), NULL), "%s", reply);
	cr_assert(eq(int, world_http(w, "ListUsers", "{}", &reply), 400));
	cr_assert(ne(ptr, strstr(reply, "UnknownOperationException"), NULL), "%s", reply);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_certificate_that_is_not_the_node_s_newest_or_the_one_before_is_a_clone)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct hw_err err = HW_ERR_INIT;

	memcpy(node->who.serial, "00", 3);
	cr_assert(eq(int, world_connect(node, &err), HW_EREVOKED));
	cr_assert(ne(ptr, strstr(err.text, "outdated"), NULL));
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_user_with_an_expired_certificate_keeps_its_link_but_asks_in_vain)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	struct msg_list_users_request req = {.max_results = 10};
	char why[384];

	cr_assert(eq(int, world_call(admin, OP_list_users, &req, NULL, NULL), 0));
	world_advance(w, CERT_USER_LIFE + USEC_PER_SEC);
	cr_assert(admin->up);
	cr_assert(eq(int, world_call(admin, OP_list_users, &req, NULL, why), HW_EEXPIRED), "%s",
		why);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_node_that_renews_again_and_again_over_one_link_keeps_it)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	for (int i = 0; i < 4; i++) {
		struct msg_renew_certificate_request req = {.csr = world_csr(w)};
		char why[384];
		cr_assert(eq(int, world_call(node, OP_renew_certificate, &req, NULL, why), 0), "%s",
			why);
		world_advance(w, 2 * USEC_PER_SEC);
		cr_assert(node->up, "cut after renewal %d: %s", i + 1, node->down_why);
	}
	cr_assert(eq(int, world_connect(node, &err), HW_EREVOKED),
		"its first certificate is outdated now");
	cr_assert(eq(sz, world_entries(w, "alarm", NULL, 0), 1));
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

static void
take_certificate(struct world_peer *node, const struct msg_bin *der)
{
	const char *fleet = ca_fleet(relay_ca(node->world->relay));
	struct hw_err err = HW_ERR_INIT;
	X509 *cert = NULL;

	cr_assert(eq(int, cert_parse(&cert, der->p, der->n, &err), 0), "%s", err.text);
	cr_assert(eq(int, cert_identity(&node->who, cert, fleet, &err), 0), "%s", err.text);
	X509_free(cert);
}

Test(access, a_copy_of_a_node_s_certificate_is_refused_once_the_renewed_one_was_used)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct world_peer copy = *node;
	struct msg_renew_certificate_request req = {.csr = world_csr(w)};
	struct msg_renew_certificate_reply *rep;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	cr_assert(eq(int, world_call(node, OP_renew_certificate, &req, &rep, NULL), 0));
	world_drop(node);
	cr_assert(eq(int, world_connect(node, &err), 0), "the reply may have been lost");
	world_drop(node);

	struct msg_renew_certificate_request again = {.csr = world_csr(w)};
	cr_assert(eq(int, world_connect(node, &err), 0));
	cr_assert(eq(int, world_call(node, OP_renew_certificate, &again, &rep, NULL), 0));
	world_drop(node);
	cr_assert(eq(int, world_connect(node, &err), 0), "twice: %s", err.text);
	world_drop(node);

	take_certificate(node, &rep->certificate);
	cr_assert(eq(int, world_connect(node, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(&copy, &err), HW_EREVOKED));
	cr_assert(eq(sz, world_entries(w, "alarm", NULL, 0), 1));
	cr_assert(node->up);
	world_drop(node);
	cr_assert(eq(int, world_restart(w, &err), 0));
	cr_assert(eq(int, world_connect(&copy, &err), HW_EREVOKED), "a restart forgets nothing");
	cr_assert(eq(int, world_connect(node, &err), 0), "%s", err.text);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, strangers_who_guess_tokens_do_not_fill_the_ledger)
{
	struct world *w = world_new("login_failures = 30000\n");
	const char *body = "{\"Invite\":\"xxxxxxxxxxxxxxxxxxxxxxxx\","
			   "\"CertificateSigningRequest\":\"AAAA\"}";
	const char *join =
		"{\"ActivationId\":\"x\",\"ActivationCode\":\"xxxxxxxxxxxxxxxxxxxxxxxx\","
		"\"CertificateSigningRequest\":\"AAAA\"}";

	for (int i = 0; i < 200; i++) {
		cr_assert(eq(int, world_http(w, "Login", body, NULL), 400));
		cr_assert(eq(int, world_http(w, "RegisterManagedInstance", join, NULL), 400));
	}
	size_t n = world_entries(w, "decision", NULL, OUTCOME_DENIED);
	cr_assert(n > 10 && n <= 60, "%zu entries", n);
	cr_assert(eq(sz, world_entries(w, "outcome", NULL, 0), 0), "nothing was tried");

	struct world_peer *admin = world_admin(w);
	cr_assert(eq(sz, world_entries(w, "decision", "Login", OUTCOME_ALLOWED), 1));
	cr_assert(eq(sz, world_entries(w, "outcome", "Login", OUTCOME_OK), 1));
	world_advance(w, 2 * USEC_PER_SEC);
	cr_assert(eq(int, world_http(w, "Login", body, NULL), 400));
	cr_assert(eq(sz, world_entries(w, "decision", NULL, OUTCOME_DENIED), n + 1));
	world_peer_free(admin);
	world_free(w);
}

Test(access, who_is_refused_again_and_again_does_not_fill_the_ledger)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct hw_err err = HW_ERR_INIT;

	memcpy(node->who.serial, "00", 3);
	for (int i = 0; i < 300; i++)
		cr_assert(eq(int, world_connect(node, &err), HW_EREVOKED));
	cr_assert(world_entries(w, "link.refused", NULL, OUTCOME_DENIED) <= 60);
	cr_assert(world_entries(w, "alarm", NULL, 0) <= 60);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_node_has_few_links_that_have_not_spoken)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	struct hw_err err = HW_ERR_INIT;
	struct pair *pairs[32];
	size_t n = 0;

	for (; n < 32 && relay_admit(w->relay, &node->who, false, "192.0.2.1", &err) == 0; n++) {
		pairs[n] = pair_new(w->loop);
		pair_attach(pairs[n], PAIR_A,
			relay_link(w->relay, &node->who, false, "192.0.2.1",
				pair_transport(pairs[n], PAIR_A)));
	}
	cr_assert(n >= 2 && n < 32, "%zu links", n);
	cr_assert(eq(int, err.code, HW_EFULL));
	for (size_t i = 0; i < n; i++)
		pair_drop(pairs[i], "gone");
	world_settle(w);
	cr_assert(eq(int, world_connect(node, &err), 0), "%s", err.text);
	for (size_t i = 0; i < n; i++)
		pair_free(pairs[i]);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

Test(access, a_flood_of_words_ends_its_session_and_nobody_elses)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w), *node = world_node(w, admin, "web-01");
	const struct msg_control size = {.type = CONTROL_RESIZE, .cols = 80, .rows = 24};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(node, &err), 0));
	struct world_channel *other = world_shell(admin, node);
	struct world_channel *c = world_shell(admin, node);
	for (int i = 0; i < 3 && !c->closed; i++) {
		for (int k = 0; k < 300; k++)
			channel_control(c->ch, &size);
		world_advance(w, USEC_PER_SEC);
	}
	cr_assert(not(c->closed), "a window that is drawn larger");
	for (int i = 0; i < 5000; i++)
		channel_control(c->ch, &size);
	world_settle(w);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_ELIMIT));
	cr_assert(not(other->closed));
	cr_assert(node->up);
	world_peer_free(node);
	world_peer_free(admin);
	world_free(w);
}

static void
count_full(void *arg, int code, const char *message, const void *body, size_t n)
{
	(void)message, (void)body, (void)n;
	*(size_t *)arg += code == HW_EFULL;
}

struct held {
	struct buf messages[64];
	size_t n;
};

static bool
hold_back(void *arg, uint8_t *p, size_t n)
{
	struct held *h = arg;

	cr_assert(h->n < 64);
	buf_init(&h->messages[h->n], n);
	cr_assert(eq(int, buf_append(&h->messages[h->n++], p, n), 0));
	return false;
}

/* All of it comes in one turn of the loop, before any of it is worked on. */
Test(access, what_waits_for_a_worker_is_bounded_by_its_bytes)
{
	struct world *w = world_new(NULL);
	struct world_peer *admin = world_admin(w);
	char *command = arena_alloc(w->arena, 120000);
	struct hw_err err = HW_ERR_INIT;
	size_t full = 0, small = 0;

	memset(command, 'x', 119999);
	struct msg_pair parameter = {
		"command", {(const char *[]){command}, 1}
	 };
	struct msg_start_session_request large = {
		.target = "mi-00000000000000000",
		.document_name = "AWS-StartInteractiveCommand",
		.parameters = {&parameter, 1}
	     };
	struct held held = {0};
	pair_tap(admin->pair, PAIR_B, hold_back, &held);
	for (int i = 0; i < 30; i++)
		cr_assert(eq(int,
			link_request(admin->link, &op_rows[OP_start_session], &large, count_full,
				&full, &err),
			0));
	world_settle(w);
	pair_tap(admin->pair, PAIR_B, NULL, NULL);
	for (size_t i = 0; i < held.n; i++)
		pair_send(admin->pair, PAIR_B, buf_data(&held.messages[i]), held.messages[i].len);
	world_settle(w);
	for (size_t i = 0; i < held.n; i++)
		buf_fini(&held.messages[i]);
	cr_assert(full > 5 && full < 30, "%zu", full);
	for (int i = 0; i < 60; i++)
		cr_assert(eq(int,
			link_request(admin->link, &op_rows[OP_get_caller_identity],
				&(struct msg_empty){0}, count_full, &small, &err),
			0));
	world_settle(w);
	cr_assert(eq(sz, small, 0), "the room is given back");
	world_peer_free(admin);
	world_free(w);
}

/* --- signed requests at once -------------------------------------------------------------------
 */

static int
header_of(void *arg, const char *name, char *value, size_t room)
{
	(void)arg;
	snprintf(value, room, "%s",
		strcmp(name, "x-amz-date") == 0 ? "20261126T120000Z" : "AmazonSSM.ListCommands");
	return 0;
}

static struct sigv4 *
signature_of(const char *key)
{
	struct hw_err err = HW_ERR_INIT;
	struct sigv4 *s = NULL;
	char text[512];

	snprintf(text, sizeof(text),
		"AWS4-HMAC-SHA256 Credential=%s/20261126/r/ssm/aws4_request, "
		"SignedHeaders=host;x-amz-date;x-amz-target, Signature=%064d",
		key, 0);
	cr_assert(eq(int, sigv4_new(&s, text, header_of, NULL, &err), 0), "%s", err.text);
	return s;
}

static void
keep_status(void *arg, const struct relay_answer *answer)
{
	*(int *)arg = answer->status;
}

static void
ask_signed(struct world *w, const char *key, const char *source, int *status)
{
	*status = 0;
	cr_assert(relay_signed(w->relay, "ListCommands", signature_of(key), source, "{}", 2,
		keep_status, status));
}

Test(access, one_key_has_not_all_the_workers)
{
	struct world *w = world_new("max_signed_per_key = 2\n");
	int status[5];

	ask_signed(w, "HWAKONE", "192.0.2.7", &status[0]);
	ask_signed(w, "HWAKONE", "192.0.2.7", &status[1]);
	ask_signed(w, "HWAKONE", "192.0.2.7", &status[2]);
	ask_signed(w, "HWAKTWO", "192.0.2.7", &status[3]);
	ask_signed(w, "HWAKONE", "192.0.2.8", &status[4]); /* nobody else can use up its share */
	world_settle(w);
	cr_assert(eq(int, status[0], 403));
	cr_assert(eq(int, status[1], 403));
	cr_assert(eq(int, status[2], 429));
	cr_assert(eq(int, status[3], 403));
	cr_assert(eq(int, status[4], 403));
	ask_signed(w, "HWAKONE", "192.0.2.7", &status[2]);
	world_settle(w);
	cr_assert(eq(int, status[2], 403));
	world_free(w);
}
