#include "client/selector.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct msg_tag tags[] = {
	{.key = "Env",  .value = "prod"},
	 {.key = "Role", .value = "web" }
};

static const struct msg_instance_information web = {
	.instance_id = "mi-0123456789abcdef0",
	.name = "web-07",
	.ping_status = PING_STATUS_ONLINE,
	.platform_name = "debian",
	.platform_version = "12",
	.tags = {.v = tags, .n = 2},
};

static const struct msg_instance_information lost = {
	.instance_id = "mi-0123456789abcdef1",
	.ping_status = PING_STATUS_CONNECTION_LOST,
};

static bool
matches(const char *text, const struct msg_instance_information *node)
{
	struct arena *a = arena_new(1 << 20);
	struct hw_err err = HW_ERR_INIT;
	struct selector s;
	bool ret;

	cr_assert(eq(int, selector_parse(&s, a, text, &err), 0), "%s: %s", text, err.text);
	ret = selector_match(&s, node);
	arena_free(a);
	return ret;
}

static void
refused(const char *text)
{
	struct arena *a = arena_new(1 << 20);
	struct hw_err err = HW_ERR_INIT;
	struct selector s;

	cr_assert(eq(int, selector_parse(&s, a, text, &err), HW_EUSAGE), "%s", text);
	cr_assert(err.text[0] != '\0');
	arena_free(a);
}

Test(selector, names_globs_and_ids)
{
	cr_assert(matches("web-07", &web));
	cr_assert(not(matches("web-0", &web)));
	cr_assert(not(matches("WEB-07", &web)));
	cr_assert(matches("web-*", &web));
	cr_assert(matches("*7", &web));
	cr_assert(matches("w*b*0?", &web));
	cr_assert(not(matches("w*b*0??", &web)));
	cr_assert(matches("mi-0123456789abcdef0", &web));
	cr_assert(not(matches("mi-0123456789abcdef1", &web)));
	cr_assert(matches("*", &web));
}

Test(selector, a_node_without_a_name_is_called_by_its_id)
{
	cr_assert(matches("mi-0123456789abcdef1", &lost));
	cr_assert(matches("mi-*", &lost));
	cr_assert_str_eq(node_name(&lost), "mi-0123456789abcdef1");
}

Test(selector, padded_ranges_want_their_width)
{
	cr_assert(selector_glob("web-[01-20]", "web-07"));
	cr_assert(selector_glob("web-[01-20]", "web-20"));
	cr_assert(not(selector_glob("web-[01-20]", "web-7")));
	cr_assert(not(selector_glob("web-[01-20]", "web-21")));
	cr_assert(not(selector_glob("web-[01-20]", "web-007")));
	cr_assert(not(selector_glob("web-[01-20]", "web-071")));
}

Test(selector, plain_ranges_want_plain_numbers)
{
	cr_assert(selector_glob("web-[1-120]", "web-7"));
	cr_assert(selector_glob("web-[1-120]", "web-99"));
	cr_assert(not(selector_glob("web-[1-120]", "web-07")));
	cr_assert(not(selector_glob("web-[1-120]", "web-121")));
	cr_assert(selector_glob("web-[0-3]", "web-0"));
}

Test(selector, ranges_mix_with_lists_globs_and_what_follows)
{
	cr_assert(selector_glob("web-[1,3,5-7].eu", "web-3.eu"));
	cr_assert(not(selector_glob("web-[1,3,5-7].eu", "web-4.eu")));
	cr_assert(selector_glob("*-[1-9]-[01-02]", "db-x-4-02"));
	cr_assert(selector_glob("[1-9]0", "90"));
	cr_assert(not(selector_glob("web-[1-9]", "web-")));
	cr_assert(not(selector_glob("web-[1-9]", "web-18446744073709551617")));
}

Test(selector, a_comma_in_brackets_parts_numbers_not_terms)
{
	cr_assert(matches("web-[05,07]", &web));
	cr_assert(matches("web-[05,07],tag:Env=prod", &web));
	cr_assert(not(matches("web-[05,07],tag:Env=test", &web)));
}

Test(selector, stars_take_no_exponential_time)
{
	char name[4001];

	memset(name, 'a', 4000);
	name[4000] = '\0';
	cr_assert(not(selector_glob("*a*a*a*a*a*a*a*a*a*a*a*b", name)));
}

Test(selector, tags)
{
	cr_assert(matches("tag:Env=prod", &web));
	cr_assert(not(matches("tag:Env=test", &web)));
	cr_assert(not(matches("tag:env=prod", &web)));
	cr_assert(matches("tag:Env", &web));
	cr_assert(not(matches("tag:Owner", &web)));
	cr_assert(matches("tag:Env=pr*", &web));
	cr_assert(not(matches("tag:Env=[x]", &web)));
	cr_assert(matches("tag:Env=prod,tag:Role=web", &web));
	cr_assert(not(matches("tag:Env=prod,tag:Role=db", &web)));
}

Test(selector, not_equal_holds_for_nodes_without_the_tag)
{
	cr_assert(matches("tag:Role!=db", &web));
	cr_assert(not(matches("tag:Role!=web", &web)));
	cr_assert(matches("tag:Role!=web", &lost));
}

Test(selector, systems_and_status)
{
	cr_assert(matches("os:debian", &web));
	cr_assert(matches("os:Debian", &web));
	cr_assert(matches("os:debian-12", &web));
	cr_assert(not(matches("os:debian-11", &web)));
	cr_assert(not(matches("os:rocky", &web)));
	cr_assert(not(matches("os:debian", &lost)));
	cr_assert(matches("status:online", &web));
	cr_assert(matches("status:Online", &web));
	cr_assert(not(matches("status:online", &lost)));
	cr_assert(matches("status:offline", &lost));
	cr_assert(matches("status:away", &lost));
	cr_assert(not(matches("status:inactive", &lost)));
}

Test(selector, as_the_aws_cli_writes_it)
{
	cr_assert(matches("Key=tag:Env,Values=prod", &web));
	cr_assert(matches("Key=tag:Env,Values=test,prod", &web));
	cr_assert(not(matches("Key=tag:Env,Values=test", &web)));
	cr_assert(matches("Key=InstanceIds,Values=mi-0123456789abcdef0", &web));
	refused("Key=tag:Env");
	refused("Key=Colour,Values=red");
}

Test(selector, what_makes_no_sense_is_refused)
{
	refused("");
	refused("web-01,");
	refused(",");
	refused("tag:");
	refused("tag:=x");
	refused("tag:!=x");
	refused("status:sleeping");
	refused("@");
	refused("tag:A=b,@");
	refused("last:ok");
	refused("web-[a-c]");
	refused("web-[1-");
	refused("web-]1[");
	refused("web-[]");
	refused("web-[1--2]");
	refused("web-[1-2,]");
}

static size_t
filters(struct msg_describe_instance_information_request *req, struct arena *a, const char *text)
{
	struct selector s;

	*req = (struct msg_describe_instance_information_request){0};
	cr_assert(eq(int, selector_parse(&s, a, text, NULL), 0));
	cr_assert(eq(int, selector_filters(req, a, &s), 0));
	return req->filters.n;
}

Test(selector, the_relay_gets_what_it_can_filter)
{
	struct arena *a = arena_new(1 << 20);
	struct msg_describe_instance_information_request req;

	cr_assert(eq(sz, filters(&req, a, "tag:Env=prod,status:online,web-01,os:debian"), 3));
	cr_assert_str_eq(req.filters.v[0].key, "tag:Env");
	cr_assert_str_eq(req.filters.v[0].values.v[0], "prod");
	cr_assert_str_eq(req.filters.v[1].key, "PingStatus");
	cr_assert_str_eq(req.filters.v[1].values.v[0], "Online");
	cr_assert_str_eq(req.filters.v[2].key, "Name");
	cr_assert(eq(sz, filters(&req, a, "tag:Env!=prod,web-*,tag:Env=p*,status:offline"), 0));
	arena_free(a);
}

static bool
targets(struct msg_command_target out[SELECTOR_TARGETS], size_t *n, struct arena *a,
	const char *text)
{
	struct selector s;

	cr_assert(eq(int, selector_parse(&s, a, text, NULL), 0), "%s", text);
	return selector_targets(out, n, a, &s);
}

Test(selector, what_is_saved_matches_nothing_until_somebody_has_asked)
{
	cr_assert(not(matches("@web", &web)));
	cr_assert(not(matches("tag:Env=prod,@web", &web)));
}

Test(selector, targets_are_what_means_the_same_to_the_relay)
{
	struct arena *a = arena_new(1 << 20);
	struct msg_command_target t[SELECTOR_TARGETS];
	size_t n;

	cr_assert(targets(t, &n, a, "tag:Env=prod,tag:Role,web-*,@dbs"));
	cr_assert(eq(sz, n, 4));
	cr_assert_str_eq(t[0].key, "tag:Env");
	cr_assert_str_eq(t[0].values.v[0], "prod");
	cr_assert_str_eq(t[1].key, "tag:Role");
	cr_assert(eq(sz, t[1].values.n, 0));
	cr_assert_str_eq(t[2].key, "Name");
	cr_assert_str_eq(t[3].key, "resource-groups:Name");
	cr_assert_str_eq(t[3].values.v[0], "dbs");
	cr_assert(targets(t, &n, a, "mi-0123456789abcdef0"));
	cr_assert_str_eq(t[0].key, "InstanceIds");
	static const char *const others[] = {"tag:Env!=prod", "tag:Env=pr*", "tag:Env=p?",
		"web-[01-20]", "web-0?", "os:debian", "status:online", "last:failed",
		"tag:Env=", "tag:A=1,tag:B=2,tag:C=3,tag:D=4,tag:E=5,tag:F=6"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert(not(targets(t, &n, a, others[i])), "%s", others[i]);
	arena_free(a);
}

Test(selector, sorted_ids_are_found_as_others_are)
{
	static const char *const ids[] = {"mi-0", "mi-0123456789abcdef0", "mi-1"};
	struct term t = {.kind = TERM_ID, .values = ids, .n_values = 3, .sorted = true};
	struct selector s = {.terms = &t, .n = 1};

	cr_assert(selector_match(&s, &web));
	cr_assert(not(selector_match(&s, &lost)));
	t.negated = true;
	cr_assert(not(selector_match(&s, &web)));
	t.negated = false;
	t.n_values = 0;
	cr_assert(not(selector_match(&s, &web)));
}
