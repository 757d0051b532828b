/* The machine's own policy: its file, its rules, and what becomes of them in a real monitor. */
#include "node/monitor/local_policy.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "tests/unit/node/rig.h"

TestSuite(local_policy, .timeout = 60);

#define SHELL	       "SSM-SessionManagerRunShell"
#define INTERACTIVE    "AWS-StartInteractiveCommand"
#define NONINTERACTIVE "AWS-StartNonInteractiveCommand"

static char why[LOCAL_POLICY_WHY_MAX];
static char path[64];

static void
put(const char *text, size_t n)
{
	strcpy(path, "/tmp/hawser-policy-XXXXXX");
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, n), (ssize_t)n);
	close(fd);
}

static int
ask_with(const struct local_policy_ask *ask)
{
	const struct local_policy policy = {.path = path, .required = true};

	why[0] = '\0';
	return local_policy_check(&policy, ask, why);
}

/* A login shell of the user, under a policy of this text. */
static int
ask(const char *text, const char *user, uid_t uid)
{
	const struct monitor_request request = {.kind = REQUEST_PTY};

	put(text, strlen(text));
	int r = ask_with(&(struct local_policy_ask){.user = user, .uid = uid, .request = &request});
	unlink(path);
	return r;
}

Test(local_policy, what_matches_is_refused_and_all_else_allowed)
{
	static const struct {
		const char *text, *user;
		uid_t uid;
		bool allowed;
	} rows[] = {
		{"",				       "deploy",    1001, true },
		{"# nothing\n\n   \t\r\n",		   "root",	   0,    true },
		{"deny user root\n",			     "root",	     0,	false},
		{"deny user root",			   "root",	   0,    false},
		{"deny user root\r\n",		       "root",      0,	  false},
		{"  deny \t user   root # why\n",	  "root",	  0,    false},
		{"deny user root\n",			     "roo",	    1001, true },
		{"deny user root\n",			     "rooty",     1001, true },
		{"deny user Root\n",			     "deploy",    1001, true },
		{"deny user pg*\n",			    "pgbouncer", 120,  false},
		{"deny user pg*\n",			    "apg",	   120,	true },
		{"deny user pg?\n",			    "pg1",	   120,	false},
		{"deny user pg?\n",			    "pg",	  120,  true },
		{"deny user *\n",			  ".hidden",   1001, false},
		{"deny uid 120\n",			   "pgbouncer", 120,  false},
		{"deny uid 120\n",			   "pgbouncer", 1200, true },
		{"deny uid 0-999\n",			     "pgbouncer", 999,  false},
		{"deny uid 0-999\n",			     "ann",	    1000, true },
		{"deny uid 4294967295\n",		  "ann",	 1000, true },
		{"allow user deploy\n",			"deploy",	  1001, true },
		{"allow user deploy\n",			"deploy2",   1002, false},
		{"allow user deploy\nallow user haw*\n",	 "hawser",	   1002, true },
		{"allow uid 1000-1999\nallow user root\n", "root",	   0,    true },
		{"allow uid 1000-1999\n",		  "ann",	 2000, false},
		{"allow user ann\ndeny user ann\n",	    "ann",	   2000, false},
		{"deny user ann\nallow user ann\n",	    "ann",	   2000, false},
		{"allow document " SHELL "\n",	       "ann",	      2000, true },
		{"allow document AWS-*\n",		   "ann",	  2000, false},
		{"allow document *\nallow user bob\n",     "ann",	      2000, false},
		{"deny document " SHELL "\n",	      "ann",	     2000, false},
		{"deny document AWS-*\n",		  "ann",	 2000, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = ask(rows[i].text, rows[i].user, rows[i].uid);
		cr_assert_eq(r, rows[i].allowed ? 0 : HW_ELOCAL, "%s for %s: %s", rows[i].text,
			rows[i].user, why);
		cr_assert_eq(why[0] == '\0', rows[i].allowed);
	}
}

Test(local_policy, says_which_line_refused)
{
	cr_assert_eq(ask("# c\nallow user *\n\ndeny uid 5-7\ndeny user g*\n", "games", 5),
		HW_ELOCAL);
	cr_assert_not_null(strstr(why, "does not allow the user games"), "%s", why);
	cr_assert_not_null(strstr(why, ":4: deny 5-7"), "%s", why);
	cr_assert_eq(ask("allow user deploy\n", "games", 5), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "does not allow the user games: no line of /tmp/"), "%s",
		why);
}

Test(local_policy, ill_formed_lines_refuse_everybody_and_are_named)
{
	static const char *const bad[] = {"deny", "deny user", "deny user a b", "deny group wheel",
		"refuse user root", "Deny user root", "deny User root", "deny uid", "deny uid x",
		"deny uid -1", "deny uid 1-", "deny uid 9-1", "deny uid 1-2-3",
		"deny uid 4294967296", "deny uid 0x0", "deny uid +1", "deny uid 00000000001",
		"deny user [a-z]", "deny user a\\*", "deny user \"root\"", "deny user a,b",
		"deny user=root", "deny document \303\244", "allow document {x}",
		"deny user ro\013ot"};
	char text[128];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "allow user *\n%s\n", bad[i]);
		cr_assert_eq(ask(text, "ann", 2000), HW_ELOCAL, "%s", bad[i]);
		cr_assert_not_null(strstr(why, "refuses all sessions"), "%s: %s", bad[i], why);
		cr_assert_not_null(strstr(why, ":2 is not allow|deny"), "%s: %s", bad[i], why);
	}
}

Test(local_policy, a_file_is_bounded)
{
	size_t room = LOCAL_POLICY_BYTES_MAX + 2;
	char *text = malloc(room);

	memset(text, '#', room);
	text[LOCAL_POLICY_BYTES_MAX] = '\0';
	cr_assert_eq(ask(text, "ann", 2000), 0, "%s", why);
	memset(text, '#', room);
	text[LOCAL_POLICY_BYTES_MAX + 1] = '\0';
	cr_assert_eq(ask(text, "ann", 2000), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "larger than 64 KiB"), "%s", why);
	memset(text, '\n', LOCAL_POLICY_LINES_MAX);
	text[LOCAL_POLICY_LINES_MAX] = '\0';
	cr_assert_eq(ask(text, "ann", 2000), 0, "%s", why);
	strcpy(text + LOCAL_POLICY_LINES_MAX, "#");
	cr_assert_eq(ask(text, "ann", 2000), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "more than 1000 lines"), "%s", why);
	free(text);
}

static int
inspect(bool required)
{
	const struct local_policy policy = {.path = path, .required = required};

	why[0] = '\0';
	return local_policy_inspect(&policy, why);
}

Test(local_policy, a_file_that_is_not_what_it_should_be_refuses)
{
	put("allow user *\0deny user root\n", 28);
	cr_assert_eq(inspect(false), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "NUL"), "%s", why);
	unlink(path);
	put("\n", 1);
	cr_assert_eq(inspect(false), 0);
	for (mode_t bit = 0020; bit != 0; bit = bit == 0020 ? 0002 : 0) {
		cr_assert_eq(chmod(path, 0644 | bit), 0);
		cr_assert_eq(inspect(false), HW_ELOCAL);
		cr_assert_not_null(strstr(why, "others may write"), "%s", why);
	}
	unlink(path);
	cr_assert_eq(inspect(false), 0, "one that is not there allows what the relay says");
	cr_assert_eq(inspect(true), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "No such file"), "%s", why);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(inspect(false), HW_ELOCAL, "and nobody waits for its writer");
	unlink(path);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(inspect(false), HW_ELOCAL);
	rmdir(path);
	cr_assert_eq(symlink(path, path), 0);
	cr_assert_eq(inspect(false), HW_ELOCAL);
	unlink(path);
}

Test(local_policy, a_folder_that_others_may_write_refuses_with_the_file_and_without)
{
	char folder[] = "/tmp/hawser-etc-XXXXXX", file[64];
	const struct local_policy policy = {.path = file};

	cr_assert_not_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/node.policy", folder);
	cr_assert_eq(local_policy_inspect(&policy, why), 0);
	for (mode_t bit = 0020; bit != 0; bit = bit == 0020 ? 0002 : 0) {
		cr_assert_eq(chmod(folder, 0755 | bit), 0);
		cr_assert_eq(local_policy_inspect(&policy, why), HW_ELOCAL);
		cr_assert_not_null(strstr(why, folder), "%s", why);
	}
	cr_assert_eq(chmod(folder, 0755), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(folder, 4711, 0), 0);
		cr_assert_eq(local_policy_inspect(&policy, why), HW_ELOCAL);
		cr_assert_not_null(strstr(why, "others than root"), "%s", why);
	}
	rmdir(folder);
}

Test(local_policy, another_users_file_refuses)
{
	if (geteuid() != 0)
		return;
	put("allow user *\n", 13);
	cr_assert_eq(chown(path, 4711, 0), 0);
	cr_assert_eq(inspect(false), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "belongs to uid 4711"), "%s", why);
	cr_assert_eq(seteuid(4711), 0);
	cr_assert_eq(inspect(false), 0, "the agent's user's own, in a rootless node: %s", why);
	cr_assert(seteuid(0) == 0 && chmod(path, 0600) == 0 && seteuid(4712) == 0);
	cr_assert_eq(inspect(false), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "cannot open"), "%s", why);
	cr_assert_eq(seteuid(0), 0);
	unlink(path);
}

Test(local_policy, a_denied_name_is_denied_by_whatever_name_it_was_asked_for)
{
	const struct monitor_request request = {.kind = REQUEST_PTY};
	const struct local_policy_ask as = {
		.asked = "Deploy", .user = "deploy", .uid = 1001, .request = &request};
	static const struct {
		const char *text;
		int code;
	} rows[] = {
		{"deny user deploy\n",  HW_ELOCAL},
		{"deny user Deploy\n",  HW_ELOCAL},
		{"allow user Deploy\n", HW_ELOCAL},
		{"allow user deploy\n", 0	 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put(rows[i].text, strlen(rows[i].text));
		cr_assert_eq(ask_with(&as), rows[i].code, "%s: %s", rows[i].text, why);
		unlink(path);
	}
}

Test(local_policy, root_is_asked_for_by_name)
{
	if (geteuid() != 0)
		return;
	cr_assert_eq(ask("", "toor", 0), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "toor is another name of root: ask for root by name"), "%s",
		why);
	cr_assert_eq(ask("allow user toor\n", "toor", 0), HW_ELOCAL);
	cr_assert_eq(ask("", "root", 0), 0);
}

/* The document's name is the network process's word: what is asked has to be what it stands for. */
Test(local_policy, a_document_is_what_it_does)
{
	static const struct {
		enum request_kind kind;
		uint32_t command_len;
		const char *document, *denied;
		int code;
	} rows[] = {
		{REQUEST_PTY,  0, "",	     SHELL,	    HW_ELOCAL},
		{REQUEST_PTY,  1, "",	     INTERACTIVE,	  HW_ELOCAL},
		{REQUEST_EXEC, 1, "",	      NONINTERACTIVE, HW_ELOCAL},
		{REQUEST_EXEC, 1, "",	      SHELL,	     0	      },
		{REQUEST_PTY,  0, SHELL,		SHELL,	       HW_ELOCAL},
		{REQUEST_PTY,  0, SHELL,		NONINTERACTIVE, 0	 },
		{REQUEST_EXEC, 1, SHELL,		 NONINTERACTIVE, HW_ELOCAL},
		{REQUEST_PTY,  1, SHELL,		INTERACTIVE,    HW_ELOCAL},
		{REQUEST_EXEC, 1, INTERACTIVE,    NONINTERACTIVE, HW_ELOCAL},
		{REQUEST_PTY,  1, NONINTERACTIVE, INTERACTIVE,    HW_ELOCAL},
		{REQUEST_PTY,  1, "Our-Own",	    "Our-*",	     HW_ELOCAL},
		{REQUEST_PTY,  1, "Our-Own",	    INTERACTIVE,	 HW_ELOCAL},
		{REQUEST_EXEC, 1, "Our-Own",	     NONINTERACTIVE, HW_ELOCAL},
		{REQUEST_PTY,  0, "Our-Own",	    SHELL,	   HW_ELOCAL},
		{REQUEST_PTY,  1, "Our-Own",	    NONINTERACTIVE, 0	     },
		{REQUEST_EXEC, 0, "Our-Own",	     NONINTERACTIVE, 0	      },
	};
	char text[96];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct monitor_request q = {
			.kind = (uint16_t)rows[i].kind, .command_len = rows[i].command_len};
		strcpy(q.document, rows[i].document);
		put(text,
			(size_t)snprintf(text, sizeof(text), "deny document %s\n", rows[i].denied));
		cr_assert_eq(ask_with(&(struct local_policy_ask){
				     .user = "ann", .uid = 2000, .request = &q}),
			rows[i].code, "row %zu: %s", i, why);
		unlink(path);
	}
}

Test(local_policy, what_a_document_does_allows_no_other_name_of_it)
{
	struct monitor_request q = {.kind = REQUEST_EXEC, .command_len = 1, .document = "Our-Own"};
	const struct local_policy_ask asked = {.user = "ann", .uid = 2000, .request = &q};

	put("allow document AWS-*\n", 21);
	cr_assert_eq(ask_with(&asked), HW_ELOCAL);
	cr_assert_not_null(strstr(why, "does not allow the document Our-Own"), "%s", why);
	strcpy(q.document, NONINTERACTIVE);
	cr_assert_eq(ask_with(&asked), 0, "%s", why);
	unlink(path);
}

/* --- a real monitor -------------------------------------------------------------------------- */

static void
rewrite(const struct rig *r, const char *text)
{
	char file[96];

	snprintf(file, sizeof(file), "%s/policy", r->dir);
	FILE *f = fopen(file, "we");
	cr_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	cr_assert_eq(chmod(file, 0644), 0);
}

Test(local_policy, the_monitor_reads_it_anew_for_each_session)
{
	struct rig *r = rig_new();
	const char *me = getpwuid(geteuid())->pw_name;
	char text[128];

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "exit 3"), 0, "%s", r->reply.text);
	cr_assert_eq(rig_until_exit(r), 3);
	rig_close(r);
	snprintf(text, sizeof(text), "deny user %s\n", me);
	rewrite(r, text);
	cr_assert_eq(rig_start(r, REQUEST_EXEC, "exit 3"), HW_ELOCAL);
	cr_assert_not_null(strstr(r->reply.text, "this machine does not allow the user"), "%s",
		r->reply.text);
	rewrite(r, "deny document " NONINTERACTIVE "\n");
	cr_assert_eq(rig_start_document(r, REQUEST_EXEC, "exit 3", "", NONINTERACTIVE), HW_ELOCAL);
	cr_assert_eq(rig_start_document(r, REQUEST_EXEC, "exit 3", "", SHELL), HW_ELOCAL);
	cr_assert_eq(rig_start_document(r, REQUEST_PTY, "exit 4", "", INTERACTIVE), 0, "%s",
		r->reply.text);
	cr_assert_eq(rig_until_exit(r), 4);
	rig_close(r);
	rewrite(r, "what is this\n");
	cr_assert_eq(rig_start(r, REQUEST_EXEC, "exit 3"), HW_ELOCAL);
	cr_assert_not_null(strstr(r->reply.text, "policy:1 is not allow|deny"), "%s",
		r->reply.text);
	rig_free(r);
}

Test(local_policy, counts_for_the_nodes_own_user_when_nobody_is_named)
{
	if (geteuid() != 0)
		return;
	struct rig *r = rig_new(.run_as = "root", .policy = "deny uid 0\n");

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "true"), HW_ELOCAL);
	cr_assert_not_null(strstr(r->reply.text, "does not allow the user root"), "%s",
		r->reply.text);
	cr_assert_eq(rig_start_as(r, REQUEST_EXEC, "true", "root"), HW_ELOCAL);
	cr_assert_eq(rig_start_as(r, REQUEST_PTY, "x", "nobody"), 0, "%s", r->reply.text);
	rig_until_exit(r);
	rig_free(r);
}

/* As root, too: nobody else is to be had from it. */
Test(local_policy, a_rootless_monitor_becomes_nobody_else)
{
	struct rig *r = rig_new();
	const char *other = geteuid() == 0 ? "daemon" : "root";

	cr_assert_eq(rig_start_as(r, REQUEST_EXEC, "true", other), HW_ERUNAS);
	cr_assert_not_null(strstr(r->reply.text, "this node is rootless"), "%s", r->reply.text);
	rig_free(r);
}
