/* Becoming a user, with a kernel that does as it is told and with one that only says so. */
#include "node/holder/account.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"

TestSuite(account, .timeout = 60);

#define USER "daemon"

/* In a process of its own, which what is done to it ends with: the code that it exits with. */
static int
in_a_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn(arg));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int
become(void)
{
	struct account a;
	char why[192] = "";
	int r = account_find(&a, USER, why, sizeof(why));

	if (r == 0)
		r = account_become(&a, why, sizeof(why));
	return r;
}

static int
becomes_wholly(void *arg)
{
	gid_t root_and_more[] = {0, 4, 27}, now[64];
	struct account a;
	char why[192];

	(void)arg;
	if (setgroups(3, root_and_more) < 0 || account_find(&a, USER, why, sizeof(why)) < 0)
		return 1;
	if (become() < 0)
		return 2;
	int n = getgroups(64, now);
	for (int i = 0; i < n; i++)
		if (now[i] == 0 || now[i] == 4 || now[i] == 27)
			return 3;
	if (getuid() != a.uid || getgid() != a.gid || access("/etc/shadow", R_OK) == 0)
		return 4;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0 || prctl(PR_GET_SECCOMP) != 0 ? 5 : 0;
}

Test(account, becomes_the_user_and_keeps_nothing_of_roots)
{
	if (geteuid() == 0)
		cr_assert_eq(in_a_child(becomes_wholly, NULL), 0);
}

/* What is root's in one way and a user's in another is nobody's. */
static int
stays_or_not(void *arg)
{
	struct account a;
	char why[192] = "";

	(void)arg;
	if (account_find(&a, NULL, why, sizeof(why)) < 0 || account_stay(&a, why, sizeof(why)) < 0)
		return 1;
	if (geteuid() != 0)
		return 0;
	if (setresgid((gid_t)-1, 4711, (gid_t)-1) < 0 || account_stay(&a, why, sizeof(why)) == 0)
		return 2;
	if (setresgid((gid_t)-1, 0, (gid_t)-1) < 0 || setresuid(4711, 0, 0) < 0 ||
		account_stay(&a, why, sizeof(why)) != HW_ESYS)
		return 3;
	return why[0] != '\0' ? 0 : 4;
}

Test(account, staying_who_one_is_means_in_every_way)
{
	cr_assert_eq(in_a_child(stays_or_not, NULL), 0);
}

/* The kernel answers 0 to this call, and does nothing. */
static int
lie_about(long call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = code};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int
is_lied_to(void *arg)
{
	if (lie_about(*(const long *)arg) < 0)
		return 1;
	return become() == HW_ESYS ? 0 : 2;
}

Test(account, believes_no_call_that_only_says_it_worked)
{
	static const long calls[] = {SYS_setgroups, SYS_setresgid, SYS_setresuid};

	for (size_t i = 0; geteuid() == 0 && i < sizeof(calls) / sizeof(calls[0]); i++)
		cr_assert_eq(in_a_child(is_lied_to, (void *)&calls[i]), 0, "call %ld", calls[i]);
}

static int
keeps_capabilities(void *arg)
{
	(void)arg;
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
		return 1;
	return become() == HW_ESYS ? 0 : 2;
}

Test(account, a_user_that_would_keep_capabilities_is_not_one)
{
	if (geteuid() == 0)
		cr_assert_eq(in_a_child(keeps_capabilities, NULL), 0);
}

static int
is_another(void *arg)
{
	struct account a;
	char why[192];

	(void)arg;
	if (account_find(&a, USER, why, sizeof(why)) < 0 || setresuid(4711, 4711, 4711) < 0)
		return 1;
	return account_become(&a, why, sizeof(why)) == HW_ESYS ? 0 : 2;
}

Test(account, who_is_not_root_becomes_nobody_else)
{
	if (geteuid() == 0)
		cr_assert_eq(in_a_child(is_another, NULL), 0);
}
