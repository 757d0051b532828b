#include "node/holder/environ.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/holder/account.h"
#include "node/monitor/request.h"

static void
put(const char *root, const char *path, const char *text)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", root, path);
	FILE *f = fopen(full, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

static void
expect_line(const char *text, const char *name, const char *value)
{
	char line[256], *n, *v;

	snprintf(line, sizeof(line), "%s", text);
	int r = environ_line(line, &n, &v);
	cr_assert_eq(r, name != NULL ? 0 : -1, "%s", text);
	if (name == NULL)
		return;
	cr_assert_str_eq(n, name);
	cr_assert_str_eq(v, value);
}

Test(environ, lines_of_etc_environment)
{
	expect_line("PATH=/bin:/usr/bin\n", "PATH", "/bin:/usr/bin");
	expect_line("  export A_1=\"b c\"  \n", "A_1", "b c");
	expect_line("A='x=y'", "A", "x=y");
	expect_line("A=", "A", "");
	expect_line("A=\"", "A", "\"");
	expect_line("# A=b", NULL, NULL);
	expect_line("1A=b", NULL, NULL);
	expect_line("A B=c", NULL, NULL);
	expect_line("=b", NULL, NULL);
	expect_line("nothing", NULL, NULL);
	expect_line("", NULL, NULL);
}

Test(environ, later_settings_replace_earlier_ones)
{
	struct environ e = {.n = 0};
	char name[16];

	environ_set(&e, "A", "1");
	environ_set(&e, "AB", "2");
	environ_set(&e, "A", "3");
	cr_assert_eq(e.n, 2);
	cr_assert_str_eq(environ_get(&e, "A"), "3");
	cr_assert_str_eq(environ_get(&e, "AB"), "2");
	for (int i = 0; i < 2 * ENVIRON_MAX; i++) {
		snprintf(name, sizeof(name), "V%d", i);
		environ_set(&e, name, "");
	}
	cr_assert_eq(e.n, ENVIRON_MAX);
	cr_assert_null(e.vars[ENVIRON_MAX]);
	environ_fini(&e);
}

Test(environ, a_login)
{
	char root[] = "/tmp/hawser-environ-XXXXXX", etc[64];
	struct account a = {
		.uid = 1000, .gid = 1000, .name = "eve", .home = "/home/eve", .shell = "/bin/sh"};
	struct monitor_request r = {.kind = REQUEST_PTY, .session_id = "s-1", .term = "xterm"};
	struct environ e = {.n = 0};

	cr_assert_not_null(mkdtemp(root));
	snprintf(etc, sizeof(etc), "%s/etc", root);
	mkdir(etc, 0700);
	environ_login(&e, root, &a, NULL, &r);
	cr_assert_str_eq(environ_get(&e, "PATH"),
		"/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games");
	cr_assert_str_eq(environ_get(&e, "HOME"), "/home/eve");
	cr_assert_str_eq(environ_get(&e, "TERM"), "xterm");
	cr_assert_null(environ_get(&e, "LANG"));
	environ_fini(&e);

	put(root, "/etc/login.defs",
		"#ENV_PATH PATH=/no\nENV_PATH\tPATH=/a:/b\nENV_SUPATH PATH=/su\n");
	put(root, "/etc/environment", "USER=mallory\nEDITOR=vi\nLANG=C.UTF-8\n");
	strcpy(r.lang, "de_DE.UTF-8");
	environ_login(&e, root, &a, NULL, &r);
	cr_assert_str_eq(environ_get(&e, "PATH"), "/a:/b");
	cr_assert_str_eq(environ_get(&e, "USER"), "eve");
	cr_assert_str_eq(environ_get(&e, "EDITOR"), "vi");
	cr_assert_str_eq(environ_get(&e, "LANG"), "de_DE.UTF-8");
	environ_fini(&e);

	a.uid = 0;
	r.kind = REQUEST_EXEC;
	environ_login(&e, root, &a, NULL, &r);
	cr_assert_str_eq(environ_get(&e, "PATH"), "/su");
	cr_assert_null(environ_get(&e, "TERM"));
	environ_fini(&e);
}

/* What modules of PAM's give is more than what files say for everybody, and less than what is the
 * session's own. */
Test(environ, what_pam_gives_has_its_place)
{
	static const char *const list[] = {"PATH=/p:/bin", "EDITOR=ed", "EDITOR=vim",
		"USER=mallory", "HOME=/elsewhere", "TERM=dumb", "LANG=fr", "HAWSER_SESSION=forged",
		"HAWSER_X=1", "LD_PRELOAD=/x", "LD_=1", "LDAP=1", "not one", "1A=b", "=c",
		"EMPTY=", "A=b=c", NULL};
	char root[] = "/tmp/hawser-environ-XXXXXX", etc[64];
	struct account a = {
		.uid = 1000, .gid = 1000, .name = "eve", .home = "/home/eve", .shell = "/bin/sh"};
	struct monitor_request r = {
		.kind = REQUEST_PTY, .session_id = "s-1", .term = "xterm", .lang = "de"};
	char *const *given = (char *const *)(void *)list;
	struct environ e = {.n = 0};

	cr_assert_not_null(mkdtemp(root));
	snprintf(etc, sizeof(etc), "%s/etc", root);
	mkdir(etc, 0700);
	put(root, "/etc/environment", "PATH=/files\nEDITOR=vi\nPAGER=less\n");
	environ_login(&e, root, &a, given, &r);
	cr_assert_str_eq(environ_get(&e, "PATH"), "/p:/bin");
	cr_assert_str_eq(environ_get(&e, "EDITOR"), "vim");
	cr_assert_str_eq(environ_get(&e, "PAGER"), "less");
	cr_assert_str_eq(environ_get(&e, "USER"), "eve");
	cr_assert_str_eq(environ_get(&e, "HOME"), "/home/eve");
	cr_assert_str_eq(environ_get(&e, "TERM"), "xterm");
	cr_assert_str_eq(environ_get(&e, "LANG"), "de");
	cr_assert_str_eq(environ_get(&e, "HAWSER_SESSION"), "s-1");
	cr_assert_str_eq(environ_get(&e, "LDAP"), "1");
	cr_assert_str_eq(environ_get(&e, "EMPTY"), "");
	cr_assert_str_eq(environ_get(&e, "A"), "b=c");
	cr_assert_null(environ_get(&e, "HAWSER_X"));
	cr_assert_null(environ_get(&e, "LD_PRELOAD"));
	cr_assert_null(environ_get(&e, "LD_"));
	cr_assert_null(environ_get(&e, "1A"));
	environ_fini(&e);

	environ_script(&e, root, &a, given, "EDITOR=mine", sizeof("EDITOR=mine"));
	cr_assert_str_eq(environ_get(&e, "EDITOR"), "mine");
	cr_assert_str_eq(environ_get(&e, "LANG"), "fr");
	cr_assert_null(environ_get(&e, "HAWSER_SESSION"));
	environ_fini(&e);
}
