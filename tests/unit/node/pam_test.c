/* Programs by way of PAM, in real holders. What is in /etc/pam.d is the test's alone. */
#include <sys/mount.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "tests/unit/node/rig.h"

#define SERVICE "hawser-test"

struct guarded {
	char dir[32];
	struct rig *rig;
};

static bool
is_alone(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* What the module is told to do, by stage. */
static void
write_service(const struct guarded *g, const char *account, const char *session)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/" SERVICE, g->dir);
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fprintf(f, "account required " HAWSER_PAM_MODULE " %s\n", account);
	fprintf(f, "session required " HAWSER_PAM_MODULE " %s\n", session);
	fclose(f);
}

static bool
guarded_init_with(struct guarded *g, const char *account, const char *session,
	struct rig_options options)
{
	if (!is_alone())
		return false;
	strcpy(g->dir, "/tmp/hawser-pam-XXXXXX");
	cr_assert_not_null(mkdtemp(g->dir));
	write_service(g, account, session);
	cr_assert_eq(mount(g->dir, "/etc/pam.d", NULL, MS_BIND, NULL), 0);
	options.run_as = "root";
	options.pam = SERVICE;
	if (options.pam_program == NULL)
		options.pam_program = HAWSER_PAM;
	g->rig = rig_new_with(options);
	return true;
}

#define guarded_init(g, account, session, ...) \
	guarded_init_with(g, account, session, (struct rig_options){__VA_ARGS__})

static void
guarded_fini(struct guarded *g)
{
	char path[64];

	rig_free(g->rig);
	snprintf(path, sizeof(path), "%s/" SERVICE, g->dir);
	umount2("/etc/pam.d", MNT_DETACH);
	unlink(path);
	rmdir(g->dir);
}

static void
expect_says(const struct guarded *g, enum request_kind kind, const char *command, const char *says)
{
	cr_assert_eq(rig_start(g->rig, kind, command), 0, "%s", g->rig->reply.text);
	cr_assert_eq(rig_until_exit(g->rig), 0, "%s", rig_text(g->rig, HOLDER_ERR));
	cr_assert_str_eq(rig_text(g->rig, HOLDER_OUT), says);
	rig_close(g->rig);
}

/* And nothing of it runs. */
static void
expect_refused(const struct guarded *g, int code, const char *part)
{
	char marker[64], command[96];

	snprintf(marker, sizeof(marker), "%s.ran", g->dir);
	snprintf(command, sizeof(command), "touch %s", marker);
	cr_assert_eq(rig_start(g->rig, REQUEST_EXEC, command), code, "%s", g->rig->reply.text);
	cr_assert_not_null(strstr(g->rig->reply.text, part), "%s", g->rig->reply.text);
	rig_until_no_socket(g->rig);
	cr_assert_neq(access(marker, F_OK), 0);
}

Test(pam, what_modules_make_of_their_process_is_the_program_s, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "root", "root umask:027 files:77 env:A=b"))
		return;
	expect_says(&g, REQUEST_EXEC, "umask; ulimit -n; ulimit -Hn; echo $A; id -un",
		"0027\n77\n77\nb\nroot\n");
	expect_says(&g, REQUEST_PTY, "umask; ulimit -n; echo $A; tty >/dev/null && echo one",
		"0027\r\n77\r\nb\r\none\r\n");
	guarded_fini(&g);
}

Test(pam, without_one_the_umask_is_as_ever, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "", ""))
		return;
	expect_says(&g, REQUEST_EXEC, "umask", "0022\n");
	guarded_fini(&g);
}

Test(pam, the_program_finds_nothing_of_what_asked, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "writes:noise", "writes:noise"))
		return;
	expect_says(&g, REQUEST_EXEC,
		"ls -m /proc/self/fd; grep -c hawser-node-pam /proc/$$/maps; "
		"grep -E 'Sig(Ign|Blk)' /proc/$$/status",
		"0, 1, 2, 3\n0\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	guarded_fini(&g);
}

Test(pam, the_session_s_own_variables_are_no_module_s_to_say, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "",
		    "env:LD_PRELOAD=/x env:HAWSER_SESSION=forged env:HAWSER_X=1 env:USER=mallory "
		    "env:HOME=/elsewhere env:LANG=de env:EDITOR=ed env:PATH=/usr/bin:/bin",
		    .grace_seconds = 0))
		return;
	expect_says(&g, REQUEST_EXEC,
		"echo \"$LD_PRELOAD,$HAWSER_X,$USER,$HOME,$LANG,$EDITOR,$PATH\"; "
		"test \"$HAWSER_SESSION\" != forged",
		",,root,/root,de,ed,/usr/bin:/bin\n");
	guarded_fini(&g);
}

Test(pam, modules_know_where_the_program_will_be, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "tty:hawser", ""))
		return;
	expect_says(&g, REQUEST_EXEC, "echo in", "in\n");
	write_service(&g, "tty:/dev/pts/", "tty:/dev/pts/");
	expect_says(&g, REQUEST_PTY, "echo in", "in\r\n");
	guarded_fini(&g);
}

Test(pam, who_is_refused_is_told_why_and_gets_nothing, .timeout = 60)
{
	static const struct {
		const char *account, *session, *part;
	} rows[] = {
		{"expired",		    "",		"the account root has expired (PAM: User account has expired)"},
		{"tells:gone expired",  "",	   "has expired (PAM: gone); chage -E"			      },
		{"old",			"",	    "the password of root has expired (PAM: "		     },
		{"denies",		   "",
			"PAM lets root not in (service " SERVICE ", account: Permission denied)"				},
		{"tells:no.way denies", "",
			"PAM lets root not in (service " SERVICE ", account: no.way)"					     },
		{"tells:seen",	       "denies",
			"PAM lets root not in (service " SERVICE ", session: Permission denied)"				},
		{"asks:Code:",	       "",	   "asks for something, and nobody is there to answer"	      },
		{"",		     "asks:Code:", "asks for something"					       },
	};
	struct guarded g;

	if (!guarded_init(&g, "", ""))
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		write_service(&g, rows[i].account, rows[i].session);
		expect_refused(&g, HW_ELOCAL, rows[i].part);
	}
	write_service(&g, "", "");
	expect_says(&g, REQUEST_EXEC, "echo in", "in\n");
	guarded_fini(&g);
}

/* With what it has started, and nobody else is kept from starting. */
Test(pam, a_module_that_hangs_is_given_up, .timeout = 60)
{
	struct guarded g;
	char child[64], account[80];
	int pid = 0;

	if (!guarded_init(&g, "", "", .pam_within_ms = 300))
		return;
	snprintf(child, sizeof(child), "%s.child", g.dir);
	snprintf(account, sizeof(account), "forks:%s hangs", child);
	write_service(&g, account, "");
	expect_refused(&g, HW_ESPAWN, "PAM has not answered within 300 ms");
	FILE *f = fopen(child, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%d", &pid), 1);
	fclose(f);
	unlink(child);
	rig_until_dead(pid);
	write_service(&g, "", "");
	expect_says(&g, REQUEST_EXEC, "echo in", "in\n");
	guarded_fini(&g);
}

Test(pam, a_module_that_ends_its_process_ends_nothing_else, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "ends", ""))
		return;
	expect_refused(&g, HW_ESPAWN, "ended before it had an answer");
	write_service(&g, "", "ends");
	expect_refused(&g, HW_ESPAWN, "ended before it had an answer");
	write_service(&g, "", "");
	expect_says(&g, REQUEST_EXEC, "echo in", "in\n");
	guarded_fini(&g);
}

/* PAM would go by the service `other`. */
Test(pam, a_service_that_is_not_there_lets_nobody_in, .timeout = 60)
{
	struct guarded g;
	char path[64];

	if (!guarded_init(&g, "", ""))
		return;
	snprintf(path, sizeof(path), "%s/" SERVICE, g.dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/other", g.dir);
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs("account required pam_permit.so\nsession required pam_permit.so\n", f);
	fclose(f);
	expect_refused(&g, HW_ESPAWN, "no PAM service " SERVICE);
	unlink(path);
	guarded_fini(&g);
}

Test(pam, where_nobody_can_ask_it_nobody_comes_in, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "", "", .pam_program = "/nonexistent/hawser-node-pam"))
		return;
	expect_refused(&g, HW_ESPAWN, "cannot run /nonexistent/hawser-node-pam");
	guarded_fini(&g);
}

/* Two users more. */
static void
add_users(const struct guarded *g)
{
	char path[64];

	snprintf(path, sizeof(path), "%s.passwd", g->dir);
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs("root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\neve:x:4203:4203::/:/bin/sh\n"
	      "broken:x:4204:4204::/:/nonexistent/shell\n",
		f);
	fclose(f);
	cr_assert_eq(mount(path, "/etc/passwd", NULL, MS_BIND, NULL), 0);
	unlink(path);
}

/* Modules are root's, and the program the user's, who has no way back. */
Test(pam, programs_and_their_holders_are_the_user_s, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "root", "root files:77"))
		return;
	add_users(&g);
	cr_assert_eq(rig_start_as(g.rig, REQUEST_EXEC,
			     "grep -hE '^(Uid|Gid|CapEff|CapPrm)' /proc/$$/status; "
			     "grep -hE '^Uid' /proc/$PPID/status; ulimit -n",
			     "eve"),
		0, "%s", g.rig->reply.text);
	rig_until_exit(g.rig);
	cr_assert_str_eq(rig_text(g.rig, HOLDER_OUT),
		"Uid:\t4203\t4203\t4203\t4203\nGid:\t4203\t4203\t4203\t4203\n"
		"CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
		"Uid:\t4203\t4203\t4203\t4203\n77\n");
	guarded_fini(&g);
}

/* What cannot be started is said after PAM has let it in, as it is without. */
Test(pam, a_shell_that_is_not_there_is_named, .timeout = 60)
{
	struct guarded g;

	if (!guarded_init(&g, "", ""))
		return;
	add_users(&g);
	cr_assert_eq(rig_start_as(g.rig, REQUEST_EXEC, "true", "broken"), HW_ESPAWN);
	cr_assert_not_null(strstr(g.rig->reply.text,
				   "cannot run /nonexistent/shell, the shell of broken"),
		"%s", g.rig->reply.text);
	guarded_fini(&g);
}
