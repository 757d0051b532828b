/* hawser login, logout: a certificate for an invite, and its end. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/names.h"
#include "client/terminal.h"
#include "proto/base/file.h"
#include "proto/trust/https.h"
#include "proto/wire/enrol.h"
#include "proto/wire/proxy.h"

/* An invite is a secret: from stdin it is in no list of processes and in no shell's history. */
static int
read_invite(char *out, size_t room, struct hw_err *err)
{
	struct terminal *t = NULL;
	char *got;

	if (isatty(STDIN_FILENO)) {
		fputs("Invite: ", stderr);
		if (terminal_open(&t, STDIN_FILENO, TERMINAL_SECRET, NULL) == 0)
			terminal_enter(t);
	}
	got = fgets(out, (int)room, stdin);
	terminal_close(t);
	if (t != NULL)
		fputc('\n', stderr);
	if (got == NULL)
		return hw_err_set(err, HW_EUSAGE, "no invite on standard input");
	out[strcspn(out, " \t\r\n")] = '\0';
	return 0;
}

/* A copy; what the list of processes shows is wiped. */
static const char *
take_invite(struct client *c, const char *arg)
{
	const char *copy = arena_strdup(c->arena, arg);

	if (strcmp(arg, "-") != 0)
		memset((char *)(uintptr_t)arg, '*', strlen(arg));
	return copy;
}

/* The last line of `hawser-relay init` may come as one word or as two. */
static int
split_words(char **url, const char **invite, struct client *c, const struct input *in,
	struct hw_err *err)
{
	char *text = arena_strdup(c->arena, in->operands[0]), *blank;

	if (text == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*url = text;
	*invite = in->n > 1 ? take_invite(c, in->operands[1]) : "-";
	blank = strchr(text, ' ');
	if (blank != NULL && in->n == 1) {
		*blank++ = '\0';
		blank += strspn(blank, " ");
		*invite = take_invite(c, in->operands[0] + (blank - text));
	}
	return *invite != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
}

static int
read_url(struct relay_url *url, const char *text, struct hw_err *err)
{
	if (relay_url_parse(url, text, err) < 0)
		return err->code = HW_EUSAGE;
	if (url->pin[0] == '\0')
		return hw_err_set(err, HW_EUSAGE,
			"the URL lacks the relay's fingerprint: it ends in #sha256: and 64 digits");
	return 0;
}

/* What to log in with. The invite lives in the client's arena. */
static int
login_words(struct relay_url *url, const char **invite, struct client *c, const struct input *in,
	struct hw_err *err)
{
	static const size_t room = 300;
	const char *given = NULL;
	char *text = NULL, *typed;
	int r;

	if ((r = split_words(&text, &given, c, in, err)) < 0 || (r = read_url(url, text, err)) < 0)
		return r;
	*invite = given;
	if (strcmp(given, "-") != 0)
		return 0;
	if ((typed = arena_alloc(c->arena, room)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*invite = typed;
	return read_invite(typed, room, err);
}

static int
save_login(struct client *c, const struct relay_url *url, const struct enrol_result *result,
	struct hw_err *err)
{
	int r;

	if ((r = relay_url_format(c->home.relay, sizeof(c->home.relay), url)) < 0)
		return hw_err_set(err, r, "the relay's URL is too long");
	snprintf(c->home.user, sizeof(c->home.user), "%s", result->who.id);
	snprintf(c->home.fleet, sizeof(c->home.fleet), "%s", result->who.fleet);
	c->home.issued = result->who.not_before;
	c->home.expires = result->who.not_after;
	return home_save(&c->home, err);
}

static int
run_login(struct client *c, const struct input *in, struct hw_err *err)
{
	struct relay_url url;
	struct enrol_result result;
	struct home before;
	const char *invite = NULL;
	struct proxy proxy;
	int dir = -1, r;

	if ((r = login_words(&url, &invite, c, in, err)) < 0 ||
		(r = client_proxy(&proxy, c, url.host, url.port, err)) < 0 ||
		(r = home_find(&c->home, c->home_dir, err)) < 0)
		return r;
	before = c->home;
	home_load(&before, NULL); /* what lies there may be broken or absent */
	/* enrol_user() blocks on a socket of its own: without a loop nobody ignores SIGPIPE. */
	if ((r = client_loop(c, err)) < 0 || (r = home_open(&dir, &c->home, true, err)) < 0)
		return r;
	r = enrol_user(&result, &url, &proxy, dir, invite, err);
	fd_close(dir);
	if (r == HW_EINVITE)
		client_hint(c, "ask an administrator for a new one: hawser user invite NAME");
	if (r == HW_EUNAVAILABLE || r == HW_ETIMEOUT || r == HW_ENOTFOUND)
		client_hint(c, "see whether the relay runs, and whether a firewall is between");
	if (r < 0)
		return r;
	memcpy(url.pin, result.pin, sizeof(url.pin));
	if ((r = save_login(c, &url, &result, err)) < 0)
		return r;
	names_forget(&c->home);
	if (before.user[0] != '\0' && strcmp(before.user, c->home.user) != 0)
		client_say(c, "this replaces the login of %s", before.user);
	client_say(c, "logged in as %s until %s", c->home.user, output_time(c, c->home.expires));
	return 0;
}

const struct command cmd_login = {
	.name = "login",
	.operands = "URL [INVITE]",
	.summary = "Log in with an invite, which works once.",
	.about = "  URL and INVITE are the two words that `hawser-relay init` or an\n"
		 "  administrator's `hawser user invite NAME` gave. Without INVITE, or with -,\n"
		 "  it is read from stdin. The key is made here and never leaves this machine.",
	.examples = {"hawser login 'https://relay.example.net:8443#sha256:5f1c...' INVITE",
		     "pass show hawser | hawser login 'https://relay.example.net#sha256:5f1c...'"},
	.min = 1,
	.max = 2,
	.run = run_login,
};

/* --- logout ---------------------------------------------------------------------------------- */

static int
run_logout(struct client *c, const struct input *in, struct hw_err *err)
{
	bool had;
	int r;

	(void)in;
	if ((r = home_find(&c->home, c->home_dir, err)) < 0)
		return r;
	names_forget(&c->home);
	if ((r = home_forget(&had, &c->home, err)) < 0)
		return r;
	if (!had)
		client_say(c, "nobody was logged in");
	return 0;
}

const struct command cmd_logout = {
	.name = "logout",
	.operands = "",
	.summary = "Log out: the key and the certificate here are removed.",
	.about = "  The certificate is worth nothing without its key. Sessions that run go on.",
	.examples = {"hawser logout", "hawser --home ~/.config/hawser-test logout"},
	.run = run_logout,
};
