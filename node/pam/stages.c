#include "node/pam/stages.h"

#include <security/pam_appl.h>
#include <shadow.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/err.h"

/* What modules have told the user; the last of it. */
struct said {
	char text[81];
	bool asked; /* one wanted an answer */
};

/* In one line of a sentence, whatever it is. */
static void
keep(struct said *s, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n < sizeof(s->text) - 1; text++) {
		unsigned char c = (unsigned char)*text;
		bool blank = c <= ' ';
		if (blank && (n == 0 || s->text[n - 1] == ' '))
			continue;
		s->text[n++] = blank ? ' ' : c < 0x7f ? (char)c : '?';
	}
	while (n > 0 && s->text[n - 1] == ' ')
		n--;
	s->text[n] = '\0';
}

static int
converse(int n, const struct pam_message **messages, struct pam_response **ret, void *arg)
{
	struct said *s = arg;

	for (int i = 0; i < n; i++) {
		int style = messages[i]->msg_style;
		s->asked = s->asked || (style != PAM_ERROR_MSG && style != PAM_TEXT_INFO);
		if (s->asked)
			return PAM_CONV_ERR;
		if (messages[i]->msg != NULL)
			keep(s, messages[i]->msg);
	}
	*ret = calloc((size_t)n, sizeof(**ret));
	return *ret != NULL ? PAM_SUCCESS : PAM_BUF_ERR;
}

/* Stacks like common-account of Debian's make one failure of all. */
static bool
has_expired(const char *user)
{
	const struct spwd *sp = getspnam(user);

	return sp != NULL && sp->sp_expire >= 0 && time(NULL) / (24 * 3600) >= sp->sp_expire;
}

static int
refuse(pam_handle_t *h, const struct stages *s, const struct said *said, const char *stage,
	int code, char *why, size_t room)
{
	const char *what = said->text[0] != '\0' ? said->text : pam_strerror(h, code);

	if (said->asked)
		snprintf(why, room,
			"PAM lets %s not in: a module of the service %s asks for something, and "
			"nobody is there to answer",
			s->user, s->service);
	else if (code == PAM_ACCT_EXPIRED || has_expired(s->user))
		snprintf(why, room,
			"the account %s has expired (PAM: %s); chage -E says until when it is good",
			s->user, what);
	else if (code == PAM_NEW_AUTHTOK_REQD || code == PAM_AUTHTOK_EXPIRED)
		snprintf(why, room,
			"the password of %s has expired (PAM: %s); passwd sets another, chage -M how "
			"long it is good",
			s->user, what);
	else
		snprintf(why, room, "PAM lets %s not in (service %s, %s: %s)", s->user, s->service,
			stage, what);
	return HW_ELOCAL;
}

/* Without one, PAM would go by the one for all that have none, which is as good as any other's. */
static bool
has_file(const char *service)
{
	static const char *const dirs[] = {"/etc/pam.d", "/usr/lib/pam.d"};
	char path[128];
	bool there = false;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", dirs[i], service);
		there = there || (n < (int)sizeof(path) && access(path, R_OK) == 0);
	}
	return there;
}

int
stages_pass(char ***env, const struct stages *s, char *why, size_t room)
{
	struct said said = {.asked = false};
	const struct pam_conv conv = {.conv = converse, .appdata_ptr = &said};
	const char *stage = "account";
	pam_handle_t *h;
	int code, r = 0;

	if (!has_file(s->service)) {
		snprintf(why, room,
			"this node has no PAM service %s: there is no /etc/pam.d/%s, which node.conf "
			"names as pam",
			s->service, s->service);
		return HW_ESPAWN;
	}
	if ((code = pam_start(s->service, s->user, &conv, &h)) != PAM_SUCCESS) {
		snprintf(why, room, "cannot ask PAM: %s", pam_strerror(NULL, code));
		return HW_ESPAWN;
	}
	if ((code = pam_set_item(h, PAM_TTY, s->tty)) == PAM_SUCCESS &&
		(code = pam_acct_mgmt(h, 0)) == PAM_SUCCESS) {
		stage = "session";
		said.text[0] = '\0';
		code = pam_open_session(h, 0);
	}
	if (code != PAM_SUCCESS)
		r = refuse(h, s, &said, stage, code, why, room);
	else
		*env = pam_getenvlist(h);
	/* Of what modules keep for the session nothing is undone: it goes on. */
	pam_end(h, code | PAM_DATA_SILENT);
	return r;
}
