#include "node/upgrade/terms.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/enc.h"
#include "proto/base/file.h"

#define TERMS_MAX   16384
#define WITHIN	    60
#define WITHIN_MAX  600
#define WORDS_MAX   3
#define HOW_TO_HAVE "put the line that hawser release keygen showed into it"

/* --- its lines -------------------------------------------------------------------------------- */

static int
take_key(struct terms *t, const char *text, struct hw_err *err)
{
	uint8_t key[BASE64_LEN(RELEASE_KEY_LEN)];
	size_t n;

	if (strlen(text) != BASE64_LEN(RELEASE_KEY_LEN) ||
		base64_decode(key, &n, text, strlen(text)) < 0 || n != RELEASE_KEY_LEN)
		return hw_err_set(err, HW_EVALIDATION,
			"a key is %d characters of base64, as hawser release keygen shows it",
			BASE64_LEN(RELEASE_KEY_LEN));
	if (t->n_keys == TERMS_KEYS_MAX)
		return hw_err_set(err, HW_EVALIDATION, "there are more than %d keys",
			TERMS_KEYS_MAX);
	memcpy(t->keys[t->n_keys++], key, RELEASE_KEY_LEN);
	return 0;
}

static int
take_allow(struct terms *t, const char *text, struct hw_err *err)
{
	if (strcmp(text, "downgrade") != 0)
		return hw_err_set(err, HW_EVALIDATION, "allow is followed by downgrade");
	t->downgrade = true;
	return 0;
}

static int
take_within(struct terms *t, const char *text, struct hw_err *err)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < 1 || n > WITHIN_MAX)
		return hw_err_set(err, HW_EVALIDATION, "within is followed by seconds, 1 to %d",
			WITHIN_MAX);
	t->within = (int)n;
	return 0;
}

static const struct {
	const char *word;
	int (*take)(struct terms *t, const char *text, struct hw_err *err);
} rows[] = {
	{"key",	take_key	},
	{"allow",  take_allow },
	{"within", take_within},
};

static int
take_line(struct terms *t, char *line, struct hw_err *err)
{
	char *words[WORDS_MAX], *rest = NULL;
	int n = 0;

	line[strcspn(line, "#")] = '\0';
	for (char *s = strtok_r(line, " \t\r", &rest); s != NULL && n < WORDS_MAX;
		s = strtok_r(NULL, " \t\r", &rest))
		words[n++] = s;
	if (n == 0)
		return 0;
	for (size_t i = 0; n == 2 && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(words[0], rows[i].word) == 0)
			return rows[i].take(t, words[1], err);
	return hw_err_set(err, HW_EVALIDATION,
		"a line is key BASE64, allow downgrade or within SECONDS");
}

int
terms_parse(struct terms *ret, const char *text, struct hw_err *err)
{
	struct terms t = {.within = WITHIN};
	char *copy = strdup(text), *rest = copy, *line;
	int r = copy != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");

	for (int number = 1; r == 0 && (line = strsep(&rest, "\n")) != NULL; number++)
		if ((r = take_line(&t, line, err)) < 0)
			hw_err_prefix(err, "line %d", number);
	free(copy);
	if (r == 0)
		*ret = t;
	return r;
}

/* --- the file --------------------------------------------------------------------------------- */

static int
check_owner(int fd, const char *path, struct hw_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return hw_err_set(err, HW_EVALIDATION, "%s is no file", path);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022) != 0)
		return hw_err_set(err, HW_EDENIED,
			"others may write %s, and so say whose programs run here: chown root:root and "
			"chmod 644 it",
			path);
	return 0;
}

/* Of what was looked at, whoever may have put another in its place since. */
static int
read_text(struct terms *ret, int fd, const char *path, struct hw_err *err)
{
	char text[TERMS_MAX + 2];
	ssize_t more = 1;
	size_t n = 0;
	int r = 0;

	while (more > 0 && n <= TERMS_MAX) {
		more = read(fd, text + n, TERMS_MAX + 1 - n);
		n += more > 0 ? (size_t)more : 0;
	}
	text[n] = '\0';
	if (more < 0)
		return hw_err_sys(err, "cannot read %s", path);
	if (n > TERMS_MAX)
		r = hw_err_set(err, HW_ELIMIT, "it is longer than %d bytes", TERMS_MAX);
	else if (strlen(text) != n)
		r = hw_err_set(err, HW_EVALIDATION, "there is a NUL in it");
	else
		r = terms_parse(ret, text, err);
	if (r < 0)
		hw_err_prefix(err, "%s", path);
	return r;
}

int
terms_load(struct terms *ret, const char *path, struct hw_err *err)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), r;

	if (fd < 0 && errno == ENOENT)
		return hw_err_set(err, HW_ENOTFOUND,
			"this machine trusts no key that signs releases, so that nobody can upgrade "
			"its agent: there is no %s; " HOW_TO_HAVE,
			path);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", path);
	if ((r = check_owner(fd, path, err)) == 0)
		r = read_text(ret, fd, path, err);
	fd_close(fd);
	if (r == 0 && ret->n_keys == 0)
		return hw_err_set(err, HW_ENOTFOUND,
			"this machine trusts no key that signs releases: %s has none; " HOW_TO_HAVE,
			path);
	return r;
}

/* --- whether ---------------------------------------------------------------------------------- */

static bool
is_trusted(const struct terms *t, const struct release *r)
{
	for (int i = 0; i < t->n_keys; i++)
		if (memcmp(t->keys[i], r->key, RELEASE_KEY_LEN) == 0)
			return true;
	return false;
}

static int
check_order(const struct terms *t, const struct release *r, const char *running, bool downgrade,
	struct hw_err *err)
{
	int newer = release_version_compare(r->version, running);

	if (newer == 0)
		return hw_err_set(err, HW_EEXISTS, "the agent is %s already", running);
	if (newer < 0 && !downgrade)
		return hw_err_set(err, HW_EDENIED,
			"the release is %s, which is older than the %s that runs", r->version,
			running);
	if (newer < 0 && !t->downgrade)
		return hw_err_set(err, HW_EDENIED,
			"the release is %s, which is older than the %s that runs, and this machine "
			"allows no downgrade",
			r->version, running);
	if (newer > 0 && release_version_compare(running, r->follows) < 0)
		return hw_err_set(err, HW_EDENIED,
			"release %s follows %s or newer, and %s runs: upgrade to one between them "
			"first",
			r->version, r->follows, running);
	return 0;
}

int
terms_allow(const struct terms *t, const struct release *r, const char *running,
	const char *architecture, bool downgrade, struct hw_err *err)
{
	char key[BASE64_LEN(RELEASE_KEY_LEN) + 1];

	base64_encode(key, r->key, RELEASE_KEY_LEN);
	if (!is_trusted(t, r))
		return hw_err_set(err, HW_EDENIED,
			"the release is signed by the key %s, which this machine does not trust",
			key);
	if (strcmp(r->architecture, architecture) != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"the release is for %s, and this machine is %s", r->architecture,
			architecture);
	return check_order(t, r, running, downgrade, err);
}
