#include "node/holder/environ.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/account.h"
#include "node/monitor/request.h"

static char **
find(struct environ *e, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < e->n; i++)
		if (strncmp(e->vars[i], name, len) == 0 && e->vars[i][len] == '=')
			return &e->vars[i];
	return NULL;
}

void
environ_set(struct environ *e, const char *name, const char *value)
{
	char **at = find(e, name), *var;

	if ((at == NULL && e->n == ENVIRON_MAX) || asprintf(&var, "%s=%s", name, value) < 0)
		return;
	if (at != NULL) {
		free(*at);
		*at = var;
	} else {
		e->vars[e->n++] = var;
		e->vars[e->n] = NULL;
	}
}

const char *
environ_get(const struct environ *e, const char *name)
{
	char **at = find((struct environ *)e, name);

	return at != NULL ? *at + strlen(name) + 1 : NULL;
}

void
environ_fini(struct environ *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->vars[i]);
	*e = (struct environ){.n = 0};
}

static char *
trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	for (n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--)
		;
	s[n] = '\0';
	return s;
}

static bool
is_name(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	return true;
}

int
environ_line(char *line, char **name, char **value)
{
	char *s = trim(line), *equals;

	if (strncmp(s, "export ", 7) == 0)
		s = trim(s + 7);
	if (*s == '#' || (equals = strchr(s, '=')) == NULL)
		return -1;
	*equals = '\0';
	if (!is_name(s))
		return -1;
	char *v = equals + 1;
	size_t n = strlen(v);
	if (n >= 2 && (*v == '"' || *v == '\'') && v[n - 1] == *v) {
		v[n - 1] = '\0';
		v++;
	}
	*name = s;
	*value = v;
	return 0;
}

static void
each_line(const char *root, const char *path, void (*fn)(struct environ *, char *, const char *),
	struct environ *e, const char *arg)
{
	char full[512], line[4096];

	snprintf(full, sizeof(full), "%s%s", root, path);
	FILE *f = fopen(full, "re");
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL)
		fn(e, line, arg);
	fclose(f);
}

static void
environment_line(struct environ *e, char *line, const char *unused)
{
	char *name, *value;

	(void)unused;
	if (environ_line(line, &name, &value) == 0)
		environ_set(e, name, value);
}

/* "ENV_PATH<blanks>PATH=..." */
static void
login_defs_line(struct environ *e, char *line, const char *key)
{
	char *s = trim(line);
	size_t len = strlen(key);

	if (strncmp(s, key, len) != 0 || !isspace((unsigned char)s[len]))
		return;
	s = trim(s + len);
	environ_set(e, "PATH", strncmp(s, "PATH=", 5) == 0 ? s + 5 : s);
}

static void
set_path(struct environ *e, const char *root, const struct account *a)
{
	bool super = a->uid == 0;

	environ_set(e, "PATH",
		super ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		      : "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games");
	each_line(root, "/etc/login.defs", login_defs_line, e, super ? "ENV_SUPATH" : "ENV_PATH");
}

static void
set_mail(struct environ *e, const struct account *a)
{
	char mail[128];

	snprintf(mail, sizeof(mail), "/var/mail/%s", a->name);
	if (access(mail, F_OK) == 0)
		environ_set(e, "MAIL", mail);
}

/* What makes a program load other code is no module's to say, and what Hawser calls its own is the
 * session's. */
static bool
may_be_given(const char *name)
{
	return is_name(name) && strncmp(name, "LD_", 3) != 0 && strncmp(name, "HAWSER_", 7) != 0;
}

static void
set_given(struct environ *e, const char *var)
{
	const char *equals = strchr(var, '=');
	char *name = equals != NULL ? strndup(var, (size_t)(equals - var)) : NULL;

	if (name != NULL && may_be_given(name))
		environ_set(e, name, equals + 1);
	free(name);
}

static void
set_account(struct environ *e, const char *root, const struct account *a, char *const *given)
{
	set_path(e, root, a);
	each_line(root, "/etc/default/locale", environment_line, e, NULL);
	each_line(root, "/etc/environment", environment_line, e, NULL);
	while (given != NULL && *given != NULL)
		set_given(e, *given++);
	environ_set(e, "HOME", a->home);
	environ_set(e, "SHELL", a->shell);
	environ_set(e, "USER", a->name);
	environ_set(e, "LOGNAME", a->name);
}

void
environ_script(struct environ *e, const char *root, const struct account *a, char *const *given,
	const char *vars, size_t n)
{
	set_account(e, root, a, given);
	for (const char *s = vars; s < vars + n; s += strlen(s) + 1) {
		const char *equals = strchr(s, '=');
		char *name = strndup(s, (size_t)(equals - s));
		if (name != NULL)
			environ_set(e, name, equals + 1);
		free(name);
	}
}

void
environ_login(struct environ *e, const char *root, const struct account *a, char *const *given,
	const struct monitor_request *r)
{
	set_account(e, root, a, given);
	environ_set(e, "HAWSER_SESSION", r->session_id);
	set_mail(e, a);
	if (r->kind == REQUEST_PTY)
		environ_set(e, "TERM", r->term[0] ? r->term : "dumb");
	if (r->lang[0])
		environ_set(e, "LANG", r->lang);
	if (r->colorterm[0])
		environ_set(e, "COLORTERM", r->colorterm);
}
