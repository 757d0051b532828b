/* A module of PAM's that does what its line in a service's file says, one word after the other. */
#include <sys/resource.h>
#include <sys/stat.h>

#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its answer is the conversation's. */
static int
tell(pam_handle_t *h, int style, const char *text)
{
	const struct pam_message m = {.msg_style = style, .msg = text}, *list = &m;
	struct pam_response *answer = NULL;
	const struct pam_conv *conv;
	const void *item;
	int r = pam_get_item(h, PAM_CONV, &item);

	if (r != PAM_SUCCESS)
		return r;
	conv = item;
	r = conv->conv(1, &list, &answer, conv->appdata_ptr);
	free(answer);
	return r;
}

static void
leave_a_child(const char *path)
{
	if (fork() != 0)
		return;
	FILE *f = fopen(path, "we");
	if (f != NULL) {
		fprintf(f, "%d\n", (int)getpid());
		fclose(f);
	}
	for (;;)
		pause();
}

static int
limit(rlim_t n)
{
	const struct rlimit l = {n, n};

	return setrlimit(RLIMIT_NOFILE, &l) == 0 ? PAM_SUCCESS : PAM_SYSTEM_ERR;
}

static int
obey(pam_handle_t *h, const char *word)
{
	const char *colon = strchr(word, ':'), *rest = colon != NULL ? colon + 1 : "";
	size_t n = strcspn(word, ":");
	const void *tty = NULL;

#define IS(name) (n == strlen(name) && strncmp(word, name, n) == 0)
	if (IS("env"))
		return pam_putenv(h, rest);
	if (IS("tty"))
		return pam_get_item(h, PAM_TTY, &tty) == PAM_SUCCESS && tty != NULL &&
				strncmp(tty, rest, strlen(rest)) == 0
			? PAM_SUCCESS
			: PAM_AUTH_ERR;
	if (IS("umask"))
		umask((mode_t)strtol(rest, NULL, 8));
	else if (IS("files"))
		return limit((rlim_t)atoi(rest));
	else if (IS("root"))
		return geteuid() == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
	else if (IS("tells"))
		return tell(h, PAM_ERROR_MSG, rest);
	else if (IS("asks"))
		return tell(h, PAM_PROMPT_ECHO_OFF, rest);
	else if (IS("writes"))
		return write(1, rest, strlen(rest)) == (ssize_t)strlen(rest) ? PAM_SUCCESS
									     : PAM_SYSTEM_ERR;
	else if (IS("denies"))
		return PAM_PERM_DENIED;
	else if (IS("expired"))
		return PAM_ACCT_EXPIRED;
	else if (IS("old"))
		return PAM_NEW_AUTHTOK_REQD;
	else if (IS("forks"))
		leave_a_child(rest);
	else if (IS("hangs"))
		for (;;)
			pause();
	else if (IS("ends"))
		_exit(0);
	else
		return PAM_SERVICE_ERR;
#undef IS
	return PAM_SUCCESS;
}

static int
obey_all(pam_handle_t *h, int n, const char **words)
{
	int r = PAM_SUCCESS;

	for (int i = 0; i < n && r == PAM_SUCCESS; i++)
		r = obey(h, words[i]);
	return r;
}

PAM_EXTERN int
pam_sm_acct_mgmt(pam_handle_t *h, int flags, int argc, const char **argv)
{
	(void)flags;
	return obey_all(h, argc, argv);
}

PAM_EXTERN int
pam_sm_open_session(pam_handle_t *h, int flags, int argc, const char **argv)
{
	(void)flags;
	return obey_all(h, argc, argv);
}

PAM_EXTERN int
pam_sm_close_session(pam_handle_t *h, int flags, int argc, const char **argv)
{
	(void)h;
	(void)flags;
	(void)argc;
	(void)argv;
	return PAM_SUCCESS;
}
