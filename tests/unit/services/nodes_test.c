#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"
#include "relay/store/activations.h"
#include "relay/store/nodes.h"
#include "relay/store/tags.h"
#include "tests/unit/services/desk.h"

/* --- activations ------------------------------------------------------------------------------ */

Test(activations, defaults_are_ssm_s)
{
	struct desk *d = desk_new(false);
	struct msg_create_activation_request req = {.description = "d"};
	struct msg_create_activation_reply rep;
	struct msg_describe_activations_request list = {.max_results = 0};
	struct msg_describe_activations_reply listed;

	CHECK_OK(d, CALL(d, create_activation, &req, &rep));
	cr_assert(id_is_uuid(rep.activation_id));
	cr_assert(eq(sz, strlen(rep.activation_code), TOKEN_LEN));
	CHECK_OK(d, CALL(d, describe_activations, &list, &listed));
	cr_assert(eq(sz, listed.activation_list.n, 1));
	const struct msg_activation *a = &listed.activation_list.v[0];
	cr_assert_str_eq(a->activation_id, rep.activation_id);
	cr_assert(a->registration_limit == 1 && a->registrations_count == 0);
	cr_assert(a->expiration_date == NOON + DAY && !a->expired);
	fake_clock_advance(&d->clock, DAY);
	CHECK_OK(d, CALL(d, describe_activations, &list, &listed));
	cr_assert(listed.activation_list.v[0].expired);
	desk_free(d);
}

static int
add_crowd(void *arg, struct db *db, struct hw_err *err)
{
	struct activation_row row = {.limit = 1, .expires = NOON + 1};
	int r = 0;

	(void)arg;
	for (int i = 0; r == 0 && i <= 2000; i++) {
		row.created = NOON + i;
		snprintf(row.id, sizeof(row.id), "%s-0000-4000-8000-%012d",
			i > 0 ? "c0dec0de" : "00000000", i);
		r = activation_insert(db, &row, "hash", err);
	}
	return r;
}

/* The oldest is behind a crowd of others, and on the first page. */
Test(activations, those_left_out_take_no_room_in_the_page)
{
	struct desk *d = desk_new(false);
	struct msg_describe_activations_request req = {.max_results = 10};
	struct msg_describe_activations_reply rep;

	CHECK_OK(d, store_write(d->env.store, add_crowd, NULL, &d->err));
	d->hidden = "c0dec0de";
	arena_free(d->arena);
	d->arena = arena_new(320 * 1024);
	CHECK_OK(d, CALL(d, describe_activations, &req, &rep));
	cr_assert(eq(sz, rep.activation_list.n, 1));
	cr_assert(eq(ptr, (void *)(uintptr_t)rep.next_token, NULL));
	desk_free(d);
}

Test(activations, expiry_is_ahead_and_within_thirty_days)
{
	struct desk *d = desk_new(false);
	struct msg_create_activation_request req = {.expiration_date = NOON};
	struct msg_create_activation_reply rep;

	CHECK_FAILS(d, CALL(d, create_activation, &req, &rep), HW_EVALIDATION, "past");
	req.expiration_date = NOON + 31 * DAY;
	CHECK_FAILS(d, CALL(d, create_activation, &req, &rep), HW_EVALIDATION, "30 days");
	req.expiration_date = NOON + 30 * DAY;
	CHECK_OK(d, CALL(d, create_activation, &req, &rep));
	req.description = "a\x1b[2J";
	CHECK_FAILS(d, CALL(d, create_activation, &req, &rep), HW_EVALIDATION, "Description");
	req.description = NULL;
	req.default_instance_name = "mi-00000000000000001";
	CHECK_FAILS(d, CALL(d, create_activation, &req, &rep), HW_EVALIDATION,
		"DefaultInstanceName");
	desk_free(d);
}

Test(activations, filters_and_pages)
{
	struct desk *d = desk_new(false);
	const char *roles[] = {"r1", "r3"};
	struct msg_activation_filter filter = {
		.key = ACTIVATION_FILTER_IAM_ROLE, .values = {roles, 2}
	       };
	struct msg_describe_activations_request list = {
		.filters = {&filter, 1}
	       };
	struct msg_describe_activations_reply listed;
	struct msg_create_activation_request req = {.iam_role = "r0"};
	struct msg_create_activation_reply rep;
	char role[16];

	for (int i = 0; i < 5; i++) {
		snprintf(role, sizeof(role), "r%d", i);
		req.iam_role = role;
		CHECK_OK(d, CALL(d, create_activation, &req, &rep));
	}
	CHECK_OK(d, CALL(d, describe_activations, &list, &listed));
	cr_assert(eq(sz, listed.activation_list.n, 2));
	filter.values.n = 0;
	CHECK_FAILS(d, CALL(d, describe_activations, &list, &listed), HW_EFILTER, "FilterValues");
	list.filters.n = 0;
	list.max_results = 2;
	size_t seen = 0;
	for (int pages = 1;; pages++) {
		CHECK_OK(d, CALL(d, describe_activations, &list, &listed));
		seen += listed.activation_list.n;
		if ((list.next_token = listed.next_token) == NULL) {
			cr_assert(eq(int, pages, 3));
			break;
		}
	}
	cr_assert(eq(sz, seen, 5));
	desk_free(d);
}

Test(activations, removing_one_needs_its_id)
{
	struct desk *d = desk_new(false);
	struct msg_create_activation_request req = {.description = NULL};
	struct msg_create_activation_reply rep;
	struct msg_delete_activation_request gone = {.activation_id = "x"};
	struct msg_empty empty;

	CHECK_FAILS(d, CALL(d, delete_activation, &gone, &empty), HW_EACTIVATIONID, "ActivationId");
	gone.activation_id = "01234567-89ab-4def-8123-456789abcdef";
	CHECK_FAILS(d, CALL(d, delete_activation, &gone, &empty), HW_EACTIVATIONID, "0123");
	CHECK_OK(d, CALL(d, create_activation, &req, &rep));
	gone.activation_id = rep.activation_id;
	CHECK_OK(d, CALL(d, delete_activation, &gone, &empty));
	desk_free(d);
}

/* --- joining ---------------------------------------------------------------------------------- */

struct ticket {
	struct msg_create_activation_request make;
	struct msg_create_activation_reply made;
	struct msg_register_managed_instance_request req;
	struct msg_register_managed_instance_reply rep;
};

static void
prepare(struct ticket *t, struct desk *d)
{
	CHECK_OK(d, CALL(d, create_activation, &t->make, &t->made));
	t->req.activation_id = t->made.activation_id;
	t->req.activation_code = t->made.activation_code;
	t->req.csr = desk_csr(d);
}

Test(joining, gives_an_identity_that_is_the_node_s_alone)
{
	struct desk *d = desk_new(false);
	struct ticket t = {.req.computer_name = "host-7"};
	struct cert_identity who;
	X509 *cert;

	prepare(&t, d);
	CHECK_OK(d, CALL(d, register_managed_instance, &t.req, &t.rep));
	cr_assert(id_is_node(t.rep.instance_id));
	cr_assert_str_eq(t.rep.name, "host-7");
	CHECK_OK(d, cert_parse(&cert, t.rep.certificate.p, t.rep.certificate.n, &d->err));
	CHECK_OK(d, cert_verify(cert, ca_cert(d->env.ca), NOON, false, &d->err));
	CHECK_OK(d, cert_identity(&who, cert, t.rep.fleet, &d->err));
	X509_free(cert);
	cr_assert(eq(int, who.role, ROLE_NODE));
	cr_assert_str_eq(who.id, t.rep.instance_id);
	cr_assert(who.not_after == NOON + 30 * DAY);
	desk_free(d);
}

Test(joining, every_refusal_is_said_and_costs_nothing)
{
	struct desk *d = desk_new(false);
	struct ticket t = {.req.name = "web-01"};

	prepare(&t, d);
	t.req.activation_code = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	CHECK_FAILS(d, CALL(d, register_managed_instance, &t.req, &t.rep), HW_EACTIVATION,
		"no activation with this id and code");
	t.req.activation_code = t.made.activation_code;
	t.req.activation_id = "01234567-89ab-4def-8123-456789abcdef";
	CHECK_FAILS(d, CALL(d, register_managed_instance, &t.req, &t.rep), HW_EACTIVATION,
		"no activation with this id and code");
	t.req.activation_id = t.made.activation_id;
	struct msg_bin good = t.req.csr;
	t.req.csr = (struct msg_bin){(const uint8_t *)"no", 2};
	CHECK_FAILS(d, CALL(d, register_managed_instance, &t.req, &t.rep), HW_EVALIDATION, "");
	t.req.csr = good;
	t.req.name = "mi-00000000000000001";
	CHECK_FAILS(d, CALL(d, register_managed_instance, &t.req, &t.rep), HW_EVALIDATION, "Name");
	t.req.name = "web\n01";
	CHECK_FAILS(d, CALL(d, register_managed_instance, &t.req, &t.rep), HW_EVALIDATION, "Name");
	t.req.name = "web-01";
	CHECK_OK(d, CALL(d, register_managed_instance, &t.req, &t.rep));
	CHECK_FAILS(d, CALL(d, register_managed_instance, &t.req, &t.rep), HW_EACTIVATION,
		"used up");
	cr_assert(eq(ptr, strstr(d->err.text, t.made.activation_code), NULL));
	desk_free(d);
}

Test(joining, is_not_possible_any_more_after_the_expiry)
{
	struct desk *d = desk_new(false);
	struct ticket t = {.req.name = "web-01"};

	prepare(&t, d);
	fake_clock_advance(&d->clock, DAY);
	CHECK_FAILS(d, CALL(d, register_managed_instance, &t.req, &t.rep), HW_EACTIVATION,
		"expired");
	desk_free(d);
}

Test(joining, the_activation_s_tags_win)
{
	struct desk *d = desk_new(false);
	struct msg_tag given[] =
		{
			{"Env",	"quarantine"},
			       {"Team", "a"	   }
	    },
		       wanted[] = {{"Env", "prod"}, {"X", "1"}};
	struct ticket t = {
		.make.tags = {given,  2},
			 .req.tags = {wanted, 2}
	};
	struct msg_list_tags_for_resource_request list = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE};
	struct msg_list_tags_for_resource_reply listed;

	t.make.default_instance_name = "pool";
	prepare(&t, d);
	CHECK_OK(d, CALL(d, register_managed_instance, &t.req, &t.rep));
	cr_assert_str_eq(t.rep.name, "pool");
	list.resource_id = t.rep.instance_id;
	CHECK_OK(d, CALL(d, list_tags_for_resource, &list, &listed));
	cr_assert(eq(sz, listed.tag_list.n, 3));
	cr_assert_str_eq(listed.tag_list.v[0].value, "quarantine");
	cr_assert_str_eq(listed.tag_list.v[2].key, "X");
	desk_free(d);
}

Test(joining, of_keys_that_differ_in_case_alone_the_activation_s_and_then_the_first_stays)
{
	struct desk *d = desk_new(false);
	struct msg_tag given[] =
		{
			{"Env", "quarantine"}
	     },
		       wanted[] = {{"env", "prod"}, {"Role", "web"}, {"ROLE", "db"}, {"X", "1"}};
	struct ticket t = {
		.make.tags = {given,  1},
			 .req.tags = {wanted, 4}
	};
	struct msg_list_tags_for_resource_request list = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE};
	struct msg_list_tags_for_resource_reply listed;

	prepare(&t, d);
	CHECK_OK(d, CALL(d, register_managed_instance, &t.req, &t.rep));
	list.resource_id = t.rep.instance_id;
	CHECK_OK(d, CALL(d, list_tags_for_resource, &list, &listed));
	cr_assert(eq(sz, listed.tag_list.n, 3));
	cr_assert_str_eq(listed.tag_list.v[0].key, "Env");
	cr_assert_str_eq(listed.tag_list.v[0].value, "quarantine");
	cr_assert_str_eq(listed.tag_list.v[1].key, "Role");
	cr_assert_str_eq(listed.tag_list.v[1].value, "web");
	cr_assert_str_eq(listed.tag_list.v[2].key, "X");
	desk_free(d);
}

struct racer {
	struct desk *d;
	struct ticket t;
	struct hw_err err;
	int result;
	pthread_t thread;
};

/* An arena of its own for each: they are not for several threads. */
static void *
race(void *arg)
{
	struct racer *r = arg;
	struct desk mine = *r->d;

	mine.arena = arena_new(1 << 20);
	r->result = desk_call(&mine, &r->err, OP_register_managed_instance, &r->t.req, &r->t.rep,
		sizeof(r->t.rep));
	arena_free(mine.arena);
	return NULL;
}

Test(joining, of_a_hundred_at_once_one_gets_the_last_place)
{
	struct desk *d = desk_new(true);
	static struct racer racers[100];
	struct ticket t = {.req.name = "web"};
	int won = 0;

	prepare(&t, d);
	for (int i = 0; i < 100; i++) {
		racers[i].d = d;
		racers[i].t = t;
		cr_assert(eq(int, pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0));
	}
	for (int i = 0; i < 100; i++) {
		pthread_join(racers[i].thread, NULL);
		won += racers[i].result == 0;
		cr_assert(racers[i].result == 0 || racers[i].result == HW_EACTIVATION);
	}
	cr_assert(eq(int, won, 1));
	desk_free(d);
}

/* --- renewing --------------------------------------------------------------------------------- */

static int
read_node(void *arg, struct db *db, struct hw_err *err)
{
	struct node_row *row = arg;
	char id[21];

	memcpy(id, row->id, sizeof(id));
	return node_get(db, id, row, err);
}

Test(renewing, shifts_the_serial_and_a_removed_node_gets_nothing)
{
	struct desk *d = desk_new(false);
	struct msg_renew_certificate_request req = {.csr = desk_csr(d)};
	struct msg_renew_certificate_reply rep;
	struct msg_deregister_managed_instance_request gone = {
		.instance_id = desk_join(d, "web-01")};
	struct msg_empty empty;
	struct node_row before = {.seen = 0}, after = {.seen = 0};

	memcpy(before.id, gone.instance_id, sizeof(before.id));
	memcpy(after.id, gone.instance_id, sizeof(after.id));
	CHECK_OK(d, store_read(d->env.store, read_node, &before, &d->err));
	desk_as_node(d, gone.instance_id);
	strcpy(d->who.serial, "00");
	CHECK_FAILS(d, CALL(d, renew_certificate, &req, &rep), HW_EREVOKED, "elsewhere");
	memcpy(d->who.serial, before.serial, sizeof(d->who.serial));
	d->n_changed = 0;
	CHECK_OK(d, CALL(d, renew_certificate, &req, &rep));
	cr_assert(eq(sz, d->n_changed, 1));
	cr_assert(rep.expires == NOON + 30 * DAY);
	CHECK_OK(d, store_read(d->env.store, read_node, &after, &d->err));
	cr_assert_str_eq(after.serial_before, before.serial);
	cr_assert_str_neq(after.serial, before.serial);
	desk_as_user(d, "alice");
	CHECK_OK(d, CALL(d, deregister_managed_instance, &gone, &empty));
	CHECK_FAILS(d, CALL(d, deregister_managed_instance, &gone, &empty), HW_ENODE, "mi-");
	desk_as_node(d, gone.instance_id);
	CHECK_FAILS(d, CALL(d, renew_certificate, &req, &rep), HW_EREVOKED, "removed");
	desk_free(d);
}

/* --- the fleet -------------------------------------------------------------------------------- */

static void
say(struct desk *d, const char *id, const char *platform, const char *version)
{
	struct msg_update_instance_information_request req = {
		.agent_version = version,
		.platform_name = platform,
		.computer_name = "host",
	};
	struct msg_empty rep;

	desk_as_node(d, id);
	CHECK_OK(d, CALL(d, update_instance_information, &req, &rep));
	desk_as_user(d, "alice");
}

static void
tag(struct desk *d, const char *id, const char *key, const char *value)
{
	struct msg_tag tags[] = {
		{key, value}
	    };
	struct msg_add_tags_to_resource_request req = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE,
		.resource_id = id,
		.tags = {tags, 1}
	 };
	struct msg_empty rep;

	CHECK_OK(d, CALL(d, add_tags_to_resource, &req, &rep));
}

static size_t
matching(struct desk *d, const char *key, const char *value, int expected)
{
	const char *values[] = {value};
	struct msg_instance_string_filter filter = {
		.key = key, .values = {values, 1}
	 };
	struct msg_describe_instance_information_request req = {
		.filters = {&filter, 1}
	       };
	struct msg_describe_instance_information_reply rep;

	int r = CALL(d, describe_instance_information, &req, &rep);
	cr_assert(r == expected, "%s=%s: %s", key, value, d->err.text);
	return r < 0 ? 0 : rep.instance_information_list.n;
}

Test(tags, two_keys_never_differ_in_case_alone)
{
	struct desk *d = desk_new(false);
	struct msg_tag twice[] =
		{
			{"Env", "prod"},
			 {"env", "test"}
	},
		       once[] = {{"ENV", "test"}}, same[] = {{"Env", "test"}};
	struct msg_create_activation_request make = {
		.tags = {twice, 2}
	  };
	struct msg_create_activation_reply made;
	struct msg_add_tags_to_resource_request req = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE,
		.resource_id = desk_join(d, "web-01"),
		.tags = {twice, 2}
	  };
	struct msg_empty rep;

	CHECK_FAILS(d, CALL(d, create_activation, &make, &made), HW_EVALIDATION, "env");
	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &req, &rep), HW_EVALIDATION, "env");
	tag(d, req.resource_id, "Env", "prod");
	req.tags.v = once;
	req.tags.n = 1;
	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &req, &rep), HW_EVALIDATION, "Env");
	cr_assert(eq(sz, matching(d, "tag:Env", "prod", 0), 1)); /* it is as it was */
	cr_assert(eq(sz, matching(d, "tag-key", "ENV", 0), 0));
	req.tags.v = same;
	CHECK_OK(d, CALL(d, add_tags_to_resource, &req, &rep));
	cr_assert(eq(sz, matching(d, "tag:Env", "test", 0), 1));
	desk_free(d);
}

Test(describe, a_node_shows_what_it_said_and_whether_it_is_there)
{
	struct desk *d = desk_new(false);
	struct msg_describe_instance_information_request req = {.max_results = 0};
	struct msg_describe_instance_information_reply rep;
	const char *id = desk_join(d, "web-01");

	say(d, id, "debian", HAWSER_VERSION);
	tag(d, id, "Env", "prod");
	snprintf(d->broker.online[0], sizeof(d->broker.online[0]), "%s", id);
	d->broker.heard = NOON + 3;
	d->broker.sessions = 2;
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	cr_assert(eq(sz, rep.instance_information_list.n, 1));
	const struct msg_instance_information *n = &rep.instance_information_list.v[0];
	cr_assert_str_eq(n->instance_id, id);
	cr_assert_str_eq(n->name, "web-01");
	cr_assert_str_eq(n->platform_name, "debian");
	cr_assert_str_eq(n->iam_role, "role");
	cr_assert(eq(int, n->ping_status, PING_STATUS_ONLINE));
	cr_assert(n->last_ping == NOON + 3 && n->sessions == 2 && n->is_latest_version);
	cr_assert(eq(int, n->resource_type, RESOURCE_TYPE_MANAGED_INSTANCE));
	cr_assert(eq(sz, n->tags.n, 1));
	cr_assert(eq(ptr, (void *)(uintptr_t)n->kernel, NULL));
	d->broker.online[0][0] = '\0';
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	cr_assert(eq(int, rep.instance_information_list.v[0].ping_status,
		PING_STATUS_CONNECTION_LOST));
	fake_clock_advance(&d->clock, 31 * DAY);
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	cr_assert(eq(int, rep.instance_information_list.v[0].ping_status, PING_STATUS_INACTIVE));
	desk_free(d);
}

Test(describe, every_filter_filters)
{
	struct desk *d = desk_new(false);
	const char *web = desk_join(d, "web-01"), *db = desk_join(d, "db-1");

	say(d, web, "debian", "0.1.0");
	say(d, db, "rocky", "0.2.0");
	tag(d, web, "Env", "prod");
	tag(d, db, "Team", "a");
	snprintf(d->broker.online[0], sizeof(d->broker.online[0]), "%s", web);
	cr_assert(eq(sz, matching(d, "InstanceIds", web, 0), 1));
	cr_assert(eq(sz, matching(d, "InstanceIds", "i-12345678", 0), 0));
	cr_assert(eq(sz, matching(d, "InstanceIds", "web-01", HW_EFILTERVALUE), 0));
	cr_assert(eq(sz, matching(d, "PingStatus", "Online", 0), 1));
	cr_assert(eq(sz, matching(d, "PingStatus", "ConnectionLost", 0), 1));
	cr_assert(eq(sz, matching(d, "PingStatus", "online", HW_EFILTERVALUE), 0));
	cr_assert(eq(sz, matching(d, "PlatformTypes", "Linux", 0), 2));
	cr_assert(eq(sz, matching(d, "PlatformTypes", "Windows", 0), 0));
	cr_assert(eq(sz, matching(d, "PlatformTypes", "Plan9", HW_EFILTERVALUE), 0));
	cr_assert(eq(sz, matching(d, "AgentVersion", "0.2.0", 0), 1));
	cr_assert(eq(sz, matching(d, "IamRole", "role", 0), 2));
	cr_assert(eq(sz, matching(d, "ActivationIds", "x", HW_EFILTERVALUE), 0));
	cr_assert(eq(sz, matching(d, "ResourceType", "ManagedInstance", 0), 2));
	cr_assert(eq(sz, matching(d, "ResourceType", "EC2Instance", 0), 0));
	cr_assert(eq(sz, matching(d, "AssociationStatus", "Success", 0), 0));
	cr_assert(eq(sz, matching(d, "SourceTypes", "AWS::EC2::Instance", 0), 0));
	cr_assert(eq(sz, matching(d, "SourceTypes", "x", HW_EFILTERVALUE), 0));
	cr_assert(eq(sz, matching(d, "tag:Env", "prod", 0), 1));
	cr_assert(eq(sz, matching(d, "tag:Env", "test", 0), 0));
	cr_assert(eq(sz, matching(d, "tag-key", "Team", 0), 1));
	cr_assert(eq(sz, matching(d, "Name", "web-01", 0), 1));
	cr_assert(eq(sz, matching(d, "Name", "*-*1", 0), 2));
	cr_assert(eq(sz, matching(d, "Name", "web*", 0), 1));
	cr_assert(eq(sz, matching(d, "PlatformName", "rocky", 0), 1));
	cr_assert(eq(sz, matching(d, "tag:", "x", HW_EFILTERKEY), 0));
	cr_assert(eq(sz, matching(d, "name", "x", HW_EFILTERKEY), 0));
	desk_free(d);
}

Test(describe, filters_are_anded_and_the_two_forms_exclude_each_other)
{
	struct desk *d = desk_new(false);
	const char *names[] = {"web-*", "db-1"}, *online[] = {"Online"};
	struct msg_instance_string_filter filters[] = {
		{"Name",	 {names, 2} },
		      {"PingStatus", {online, 1}}
	 };
	struct msg_instance_filter older[] = {
		{"PingStatus", {online, 1}}
	   };
	struct msg_describe_instance_information_request req = {
		.filters = {filters, 2}
	       };
	struct msg_describe_instance_information_reply rep;
	const char *web = desk_join(d, "web-01");

	desk_join(d, "db-1");
	snprintf(d->broker.online[0], sizeof(d->broker.online[0]), "%s", web);
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	cr_assert(eq(sz, rep.instance_information_list.n, 1));
	req.instance_information_filter_list.v = older;
	req.instance_information_filter_list.n = 1;
	CHECK_FAILS(d, CALL(d, describe_instance_information, &req, &rep), HW_EVALIDATION,
		"exclude");
	req.filters.n = 0;
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	cr_assert(eq(sz, rep.instance_information_list.n, 1));
	older[0].key = "Name";
	CHECK_FAILS(d, CALL(d, describe_instance_information, &req, &rep), HW_EFILTERKEY, "Name");
	desk_free(d);
}

Test(describe, pages_lose_and_double_nothing_while_nodes_come_and_go)
{
	struct desk *d = desk_new(false);
	struct msg_describe_instance_information_request req = {.max_results = 5};
	struct msg_describe_instance_information_reply rep;
	struct msg_deregister_managed_instance_request gone;
	struct msg_empty empty;
	const char *ids[23];
	int seen[23] = {0};

	for (int i = 0; i < 23; i++)
		ids[i] = desk_join(d, "n");
	do {
		CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
		cr_assert(le(sz, rep.instance_information_list.n, 5));
		for (size_t k = 0; k < rep.instance_information_list.n; k++)
			for (int i = 0; i < 23; i++)
				seen[i] +=
					strcmp(ids[i],
						rep.instance_information_list.v[k].instance_id) ==
					0;
		/* The last one of the page goes away, and the next page begins where it was. */
		gone.instance_id =
			rep.instance_information_list.v[rep.instance_information_list.n - 1]
				.instance_id;
		CHECK_OK(d, CALL(d, deregister_managed_instance, &gone, &empty));
		req.next_token = rep.next_token;
	} while (rep.next_token != NULL);
	for (int i = 0; i < 23; i++)
		cr_assert(eq(int, seen[i], 1));
	desk_free(d);
}

Test(describe, a_page_fits_a_frame_however_many_tags_there_are)
{
	struct desk *d = desk_new(false);
	struct msg_describe_instance_information_request req = {.max_results = 50};
	struct msg_describe_instance_information_reply rep;
	char key[16], value[257];
	size_t n = 0;

	memset(value, 'v', 256);
	value[256] = '\0';
	for (int i = 0; i < 15; i++) {
		const char *id = desk_join(d, "n");
		for (int k = 0; k < 50; k++) {
			snprintf(key, sizeof(key), "key-%d", k);
			tag(d, id, key, value);
		}
	}
	do {
		CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
		cr_assert(lt(sz, rep.instance_information_list.n, 12));
		n += rep.instance_information_list.n;
		req.next_token = rep.next_token;
	} while (rep.next_token != NULL);
	cr_assert(eq(sz, n, 15));
	desk_free(d);
}

/* The largest that a node can say of itself, and as many tags as it takes. */
static int
add_large_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct node_row row = {.registered = NOON};
	const char *id = row.id;
	char content[257];
	int r = 0;

#define FILL(member) memset(row.member, 'm', sizeof(row.member) - 1)
	FILL(agent_version), FILL(computer_name), FILL(ip_address), FILL(platform_name);
	FILL(platform_version), FILL(kernel), FILL(architecture), FILL(activation_id);
	FILL(iam_role), FILL(name);
#undef FILL
	memset(content, 'v', 256);
	content[256] = '\0';
	for (int i = 0; r == 0 && i < 500; i++) {
		snprintf(row.id, sizeof(row.id), "mi-%017x", i);
		r = node_insert(db, &row, err);
		for (int k = 0; r == 0 && k < (*(int *)arg == 0 ? i % 2 : 50 * (i % 25 == 0));
			k++) {
			char key[129];
			snprintf(key, sizeof(key), "%0128d", k);
			r = tag_set(db, TAGS_NODE, id, key, content, err);
		}
	}
	return r;
}

static size_t
encoded(const struct msg_describe_instance_information_reply *rep)
{
	struct buf body;

	buf_init(&body, FRAME_BODY_MAX);
	int r = msg_encode(&body, MSG_ROW(describe_instance_information_reply), rep, NULL);
	size_t n = body.len;
	buf_fini(&body);
	cr_assert(eq(int, r, 0));
	return n;
}

Test(describe, a_large_page_fits_a_frame_whatever_nodes_are_like)
{
	for (int many_tags = 0; many_tags < 2; many_tags++) {
		struct desk *d = desk_new(false);
		struct msg_describe_instance_information_request req = {.large_pages = true};
		struct msg_describe_instance_information_reply rep;
		size_t n = 0, pages = 0;

		CHECK_OK(d, store_write(d->env.store, add_large_nodes, &many_tags, &d->err));
		do {
			CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
			for (size_t i = 0; i < rep.instance_information_list.n; i++, n++)
				cr_assert(eq(sz, rep.instance_information_list.v[i].tags.n,
					many_tags ? 50 * (n % 25 == 0) : n % 2));
			cr_assert(gt(sz, encoded(&rep), 0));
			req.next_token = rep.next_token;
			pages++;
		} while (rep.next_token != NULL);
		cr_assert(eq(sz, n, 500));
		cr_assert(gt(sz, pages, 3));
		req.max_results = 50; /* who says how many gets no more */
		CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
		cr_assert(le(sz, rep.instance_information_list.n, 50));
		desk_free(d);
	}
}

Test(describe, a_large_page_has_more_nodes_than_others)
{
	struct desk *d = desk_new(false);
	struct msg_describe_instance_information_request req = {.large_pages = true};
	struct msg_describe_instance_information_reply rep;

	for (int i = 0; i < 60; i++)
		(void)desk_join(d, "n");
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	cr_assert(eq(sz, rep.instance_information_list.n, 60));
	cr_assert(eq(ptr, (void *)(uintptr_t)rep.next_token, NULL));
	req.large_pages = false;
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	cr_assert(eq(sz, rep.instance_information_list.n, 50));
	desk_free(d);
}

Test(nodes, facts_are_of_the_caller_and_plain)
{
	struct desk *d = desk_new(false);
	struct msg_update_instance_information_request req = {
		.agent_version = "0.1.0", .kernel = "6\x07"};
	struct msg_empty rep;

	desk_as_node(d, desk_join(d, "web-01"));
	CHECK_FAILS(d, CALL(d, update_instance_information, &req, &rep), HW_EVALIDATION, "Kernel");
	req.kernel = "6.1";
	CHECK_OK(d, CALL(d, update_instance_information, &req, &rep));
	desk_as_node(d, "mi-00000000000000009");
	CHECK_FAILS(d, CALL(d, update_instance_information, &req, &rep), HW_ENODE, "mi-");
	desk_free(d);
}

static int
read_seen(void *arg, struct db *db, struct hw_err *err)
{
	return node_get(db, ((struct node_row *)arg)->id, arg, err);
}

/* A fleet that comes back says what is known. */
Test(nodes, facts_that_are_known_are_not_written_again)
{
	struct desk *d = desk_new(false);
	struct msg_update_instance_information_request req = {
		.agent_version = "0.1.0", .kernel = "6.1"};
	struct node_row row = {.id = ""};
	struct msg_empty rep;
	const char *id = desk_join(d, "web-01");

	snprintf(row.id, sizeof(row.id), "%s", id);
	desk_as_node(d, id);
	CHECK_OK(d, CALL(d, update_instance_information, &req, &rep));
	fake_clock_advance(&d->clock, DAY);
	CHECK_OK(d, CALL(d, update_instance_information, &req, &rep));
	CHECK_OK(d, store_read(d->env.store, read_seen, &row, &d->err));
	cr_assert(eq(i64, row.seen, NOON));
	req.kernel = "6.2";
	CHECK_OK(d, CALL(d, update_instance_information, &req, &rep));
	CHECK_OK(d, store_read(d->env.store, read_seen, &row, &d->err));
	cr_assert(eq(i64, row.seen, NOON + DAY));
	cr_assert_str_eq(row.kernel, "6.2");
	desk_free(d);
}

Test(nodes, connection_status_of_an_unknown_one_is_no_error)
{
	struct desk *d = desk_new(false);
	struct msg_get_connection_status_request req = {.target = "mi-1"};
	struct msg_get_connection_status_reply rep;

	CHECK_OK(d, CALL(d, get_connection_status, &req, &rep));
	cr_assert(eq(int, rep.status, CONNECTION_STATUS_NOTCONNECTED));
	snprintf(d->broker.online[0], sizeof(d->broker.online[0]), "mi-1");
	CHECK_OK(d, CALL(d, get_connection_status, &req, &rep));
	cr_assert(eq(int, rep.status, CONNECTION_STATUS_CONNECTED));
	cr_assert_str_eq(rep.target, "mi-1");
	desk_free(d);
}

Test(tags, are_bounded_and_of_nodes_alone)
{
	struct desk *d = desk_new(false);
	static char names[51][16];
	struct msg_tag tags[51];
	struct msg_add_tags_to_resource_request req = {
		.resource_type = TAG_RESOURCE_PARAMETER,
		.resource_id = desk_join(d, "n"),
		.tags = {tags, 51}
	  };
	struct msg_empty rep;
	const char *keys[] = {"0", "nothing"};
	struct msg_remove_tags_from_resource_request less = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE, .tag_keys = {keys, 2}
	     };
	struct msg_list_tags_for_resource_request list = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE};
	struct msg_list_tags_for_resource_reply listed;

	for (int i = 0; i < 51; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i);
		tags[i] = (struct msg_tag){names[i], ""};
	}
	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &req, &rep), HW_ERESOURCETYPE, "Parameter");
	req.resource_type = TAG_RESOURCE_MANAGED_INSTANCE;
	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &req, &rep), HW_ETOOMANYTAGS, "50");
	req.tags.n = 50;
	CHECK_OK(d, CALL(d, add_tags_to_resource, &req, &rep));
	CHECK_OK(d, CALL(d, add_tags_to_resource, &req, &rep)); /* the same ones again */
	less.resource_id = list.resource_id = req.resource_id;
	CHECK_OK(d, CALL(d, remove_tags_from_resource, &less, &rep));
	CHECK_OK(d, CALL(d, list_tags_for_resource, &list, &listed));
	cr_assert(eq(sz, listed.tag_list.n, 49));
	less.resource_id = list.resource_id = req.resource_id = "mi-00000000000000009";
	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &req, &rep), HW_ERESOURCEID, "mi-");
	CHECK_FAILS(d, CALL(d, remove_tags_from_resource, &less, &rep), HW_ERESOURCEID, "mi-");
	CHECK_FAILS(d, CALL(d, list_tags_for_resource, &list, &listed), HW_ERESOURCEID, "mi-");
	tags[0].value = "\x1b[0m";
	CHECK_FAILS(d, CALL(d, add_tags_to_resource, &req, &rep), HW_EVALIDATION, "Tags[0]");
	desk_free(d);
}
