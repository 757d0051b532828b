#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/doctor.h"

static struct client client;
static struct doctor d;

static void
setup(void)
{
	client = (struct client){.arena = arena_new(1 << 20)};
	d = (struct doctor){.client = &client};
}

static void
teardown(void)
{
	arena_free(client.arena);
}

TestSuite(doctor, .init = setup, .fini = teardown);

/* "check result message" */
static void
has(const char *check, const char *result, const char *part)
{
	for (size_t i = 0; i < d.n; i++)
		if (strcmp(d.findings[i].check, check) == 0 &&
			strcmp(d.findings[i].result, result) == 0 &&
			strstr(d.findings[i].message, part) != NULL)
			return;
	for (size_t i = 0; i < d.n; i++)
		fprintf(stderr, "%s %s %s\n", d.findings[i].check, d.findings[i].result,
			d.findings[i].message);
	cr_assert(false, "no %s %s: %s", check, result, part);
}

Test(doctor, reads_what_a_node_says)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"hawser-doctor user hawser /bin/bash\nhawser-doctor shell yes\n"
		"hawser-doctor clock %lld\nhawser-doctor disk 2097152 /tmp\n"
		"hawser-doctor sync 3 /tmp/tmp.x\nhawser-doctor files 1024\n"
		"hawser-doctor cgroup /system.slice/hawser-node.service\nhawser-doctor pty yes\n"
		"hawser-doctor agent 1 2\nhawser-doctor end\n",
		(long long)(clock_wall(&hw_clock_system) / USEC_PER_MSEC));
	doctor_read_node(&d, text);
	cr_assert(not(d.failed));
	has("user", "ok", "as hawser, with /bin/bash");
	has("node clock", "ok", "as the relay's");
	has("disk", "ok", "2048 MiB are free for /tmp");
	has("sync", "ok", "3 ms");
	has("descriptors", "ok", "1024");
	has("cgroup", "ok", "/system.slice/hawser-node.service");
	has("pty", "ok", "can be made");
	has("agent", "ok", "its monitor runs");
}

Test(doctor, says_what_is_wrong_with_a_node)
{
	char text[1024];

	d.ahead = 3600 * USEC_PER_SEC; /* of the relay: the node goes by ours */
	snprintf(text, sizeof(text),
		"hawser-doctor user ann ?\nhawser-doctor shell no\nhawser-doctor clock %lld\n"
		"hawser-doctor disk 1024 /tmp\nhawser-doctor sync 900 /tmp/x\n"
		"hawser-doctor files 64\nhawser-doctor pty no\nhawser-doctor agent ? ?\n"
		"hawser-doctor end\n",
		(long long)(clock_wall(&hw_clock_system) / USEC_PER_MSEC));
	doctor_read_node(&d, text);
	cr_assert(d.failed);
	has("shell", "FAIL", "is not there");
	has("node clock", "FAIL", "behind the relay's");
	has("disk", "FAIL", "1 MiB");
	has("sync", "warn", "900 ms");
	has("descriptors", "warn", "64");
	has("pty", "FAIL", "no terminal");
}

Test(doctor, passes_on_why_there_was_no_session)
{
	doctor_read_node(&d, "hawser: ann may not StartSession on web-01\n");
	has("session", "FAIL", "ann may not StartSession on web-01");
}

Test(doctor, a_session_that_was_cut_is_no_good_sign)
{
	doctor_read_node(&d, "hawser-doctor user ann /bin/sh\nhawser-doctor pty yes\nhawser-doc");
	has("session", "FAIL", "it ended before");
}

/* A node is somebody else's machine. */
Test(doctor, nonsense_of_a_node_does_no_harm)
{
	char text[40000];
	int n = 0;

	doctor_read_node(&d,
		"hawser-doctor\nhawser-doctor \nhawser-doctor disk\nhawser-doctor disk x y\n"
		"hawser-doctor clock -9\nhawser-doctor clock 99999999999999999999\n"
		"hawser-doctor unknown word\n\n");
	has("session", "FAIL", "");
	for (int i = 0; i < 800; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			"hawser-doctor disk 9999999 /d%d\n", i);
	doctor_read_node(&d, text);
	cr_assert(le(sz, d.n, DOCTOR_FINDINGS_MAX));
	cr_assert(d.failed);
}
