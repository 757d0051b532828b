#include "node/monitor/local_policy.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/monitor/request.h"
#include "proto/base/err.h"

#define BLANKS	      " \t\r"
#define PATTERN_BYTES REQUEST_LETTERS "_.@+=:/*?-"

enum subject { USERS, DOCUMENTS, SUBJECTS };

static const char *const nouns[SUBJECTS] = {"user", "document"};

/* One reading of the file, for one who asks. */
struct reading {
	const struct local_policy *policy;
	const struct local_policy_ask *ask; /* NULL: only its form is looked at */
	const char *names[SUBJECTS];	    /* of whom is asked for */
	int number;			    /* of the line */
	bool denied;
	bool listed[SUBJECTS], allowed[SUBJECTS]; /* some line allows one; and it matched */
	char *why;
};

static int __attribute__((format(printf, 2, 3))) refuse(struct reading *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, LOCAL_POLICY_WHY_MAX, fmt, ap);
	va_end(ap);
	return HW_ELOCAL;
}

/* --- who asks for what ---------------------------------------------------------------------- */

/* What a session of a built-in document is made of: a name alone is the network process's word. */
static const struct {
	const char *document;
	uint16_t kind;
	bool command;
} built_in[] = {
	{"SSM-SessionManagerRunShell",		       REQUEST_PTY,	    false},
	{"AWS-StartInteractiveCommand",		REQUEST_PTY,     true },
	{"AWS-StartNonInteractiveCommand",		   REQUEST_EXEC,	 true },
	{"AWS-StartPortForwardingSession",		   REQUEST_FORWARD, false},
	{"AWS-StartPortForwardingSessionToRemoteHost", REQUEST_FORWARD, false},
	{"AWS-StartSSHSession",			REQUEST_FORWARD, false},
	{"Hawser-StartSocksSession",		     REQUEST_FORWARD, false},
	{"AWS-RunShellScript",			       REQUEST_SCRIPT,  true },
};
#define BUILT_IN (sizeof(built_in) / sizeof(built_in[0]))

static bool
does_the_same(const struct monitor_request *q, size_t i)
{
	return q->kind == built_in[i].kind && (q->command_len > 0) == built_in[i].command;
}

/* The name that it goes by: its own, or the first that does the same. NULL when the request does
 * not do what the document that it names does. */
static const char *
document_of(const struct monitor_request *q)
{
	for (size_t i = 0; i < BUILT_IN; i++) {
		bool named = strcmp(q->document, built_in[i].document) == 0;
		if (q->document[0] == '\0' ? does_the_same(q, i) : named)
			return does_the_same(q, i) ? built_in[i].document : NULL;
	}
	return q->document;
}

static bool
is_built_in(const char *document)
{
	for (size_t i = 0; i < BUILT_IN; i++)
		if (strcmp(document, built_in[i].document) == 0)
			return true;
	return false;
}

/* --- rules ---------------------------------------------------------------------------------- */

struct rule {
	bool allow;
	const char *pattern;
};

static void
weigh(struct reading *r, const struct rule *rule, enum subject subject, bool matches)
{
	if (rule->allow) {
		r->listed[subject] = true;
		r->allowed[subject] = r->allowed[subject] || matches;
	} else if (matches && !r->denied) {
		r->denied = true;
		refuse(r, "this machine does not allow the %s %.65s: %.60s:%d: deny %.30s",
			nouns[subject], r->names[subject], r->policy->path, r->number,
			rule->pattern);
	}
}

static bool
is_pattern(const char *s)
{
	return strspn(s, PATTERN_BYTES) == strlen(s);
}

static bool
is_somebody(const struct reading *r)
{
	return r->ask != NULL && r->ask->user != NULL;
}

/* A deny counts for the name that was asked for as well; an allow only for the account's own. */
static bool
take_user(struct reading *r, const struct rule *rule)
{
	bool matches = is_somebody(r) && fnmatch(rule->pattern, r->ask->user, 0) == 0;

	if (is_somebody(r) && r->ask->asked != NULL && !rule->allow)
		matches = matches || fnmatch(rule->pattern, r->ask->asked, 0) == 0;
	weigh(r, rule, USERS, matches);
	return is_pattern(rule->pattern);
}

/* Whether it names a built-in document that does what a session of another name does. */
static bool
names_the_same(const struct reading *r, const char *pattern)
{
	bool any = false;

	for (size_t i = 0; i < BUILT_IN && !is_built_in(r->names[DOCUMENTS]); i++)
		any = any ||
			(does_the_same(r->ask->request, i) &&
				fnmatch(pattern, built_in[i].document, 0) == 0);
	return any;
}

/* A deny counts for what is done as well, or another name of it would slip through; an allow only
 * for the name. */
static bool
take_document(struct reading *r, const struct rule *rule)
{
	bool matches = r->ask != NULL && fnmatch(rule->pattern, r->names[DOCUMENTS], 0) == 0;

	if (r->ask != NULL && !rule->allow)
		matches = matches || names_the_same(r, rule->pattern);
	weigh(r, rule, DOCUMENTS, matches);
	return is_pattern(rule->pattern);
}

/* Digits alone, and no more than a uid has. */
static const char *
read_uid(unsigned long long *ret, const char *s)
{
	size_t n = strspn(s, "0123456789");

	*ret = strtoull(s, NULL, 10);
	return n >= 1 && n <= 10 && *ret <= UINT32_MAX ? s + n : NULL;
}

static bool
take_uid(struct reading *r, const struct rule *rule)
{
	unsigned long long first, last;
	const char *s = read_uid(&first, rule->pattern);

	last = first;
	if (s != NULL && *s == '-')
		s = read_uid(&last, s + 1);
	if (s == NULL || *s != '\0' || last < first)
		return false;
	weigh(r, rule, USERS, is_somebody(r) && r->ask->uid >= first && r->ask->uid <= last);
	return true;
}

static const struct {
	const char *word;
	bool (*take)(struct reading *r, const struct rule *rule); /* false: no such pattern */
} kinds[] = {
	{"user",	 take_user	  },
	{"uid",	take_uid	},
	{"document", take_document},
};

/* --- the text ------------------------------------------------------------------------------- */

static bool
take_words(struct reading *r, char *const words[3])
{
	struct rule rule = {.allow = strcmp(words[0], "allow") == 0, .pattern = words[2]};

	if (!rule.allow && strcmp(words[0], "deny") != 0)
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(words[1], kinds[i].word) == 0)
			return kinds[i].take(r, &rule);
	return false;
}

static int
take_line(struct reading *r, char *line)
{
	char *words[3], *rest = NULL;
	int n = 0;

	line[strcspn(line, "#")] = '\0';
	for (char *s = strtok_r(line, BLANKS, &rest); s != NULL;
		s = strtok_r(NULL, BLANKS, &rest)) {
		if (n < 3)
			words[n] = s;
		n++;
	}
	if (n == 0 || (n == 3 && take_words(r, words)))
		return 0;
	return refuse(r,
		"this machine refuses all sessions: %.80s:%d is not allow|deny "
		"user|uid|document PATTERN",
		r->policy->path, r->number);
}

static int
take_text(struct reading *r, char *text)
{
	int e;

	while (text != NULL && *text != '\0') {
		char *line = strsep(&text, "\n");
		if (++r->number > LOCAL_POLICY_LINES_MAX)
			return refuse(r,
				"this machine refuses all sessions: %.80s has more than %d lines",
				r->policy->path, LOCAL_POLICY_LINES_MAX);
		if ((e = take_line(r, line)) < 0)
			return e;
	}
	return 0;
}

/* --- the file ------------------------------------------------------------------------------- */

static int
check_file(struct reading *r, int fd)
{
	struct stat st;
	const char *path = r->policy->path;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse(r, "this machine refuses all sessions: %.80s is not a file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return refuse(r,
			"this machine refuses all sessions: %.80s belongs to uid %u, not to %s",
			path, (unsigned)st.st_uid,
			geteuid() == 0 ? "root" : "root or the agent's user");
	if ((st.st_mode & 022) != 0)
		return refuse(r,
			"this machine refuses all sessions: others may write %.80s (mode %03o): chmod "
			"go-w",
			path, (unsigned)st.st_mode & 0777);
	return 0;
}

/* Who may write the folder can take the file away, and with it all that it forbids. */
static int
check_folder(struct reading *r)
{
	char folder[PATH_MAX];
	struct stat st;

	snprintf(folder, sizeof(folder), "%s", r->policy->path);
	char *slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return 0;
	*slash = '\0';
	if (stat(folder, &st) < 0)
		return 0; /* then the file is not there either */
	bool others = (st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0;
	if ((st.st_uid == 0 || st.st_uid == geteuid()) && !others)
		return 0;
	return refuse(r,
		"this machine refuses all sessions: others than %s may write the folder %.80s",
		geteuid() == 0 ? "root" : "root and the agent's user", folder);
}

/* text has room for one byte more than may be there, and a NUL. */
static int
read_text(struct reading *r, char *text, int fd)
{
	size_t n = 0;
	ssize_t more = 1;

	while (more > 0 && n <= LOCAL_POLICY_BYTES_MAX) {
		more = read(fd, text + n, LOCAL_POLICY_BYTES_MAX + 1 - n);
		n += more > 0 ? (size_t)more : 0;
	}
	if (more < 0)
		return refuse(r, "this machine refuses all sessions: cannot read %.80s: %s",
			r->policy->path, strerror(errno));
	text[n] = '\0';
	if (n > LOCAL_POLICY_BYTES_MAX || strlen(text) != n)
		return refuse(r, "this machine refuses all sessions: %.80s %s", r->policy->path,
			n > LOCAL_POLICY_BYTES_MAX ? "is larger than 64 KiB" : "has a NUL in it");
	return 0;
}

static int
take_file(struct reading *r)
{
	const struct local_policy *p = r->policy;
	char *text;
	int e;

	if ((e = check_folder(r)) != 0)
		return e;
	int fd = open(p->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !p->required)
		return 0;
	if (fd < 0)
		return refuse(r, "this machine refuses all sessions: cannot open %.80s: %s",
			p->path, strerror(errno));
	if ((text = malloc(LOCAL_POLICY_BYTES_MAX + 2)) == NULL)
		e = refuse(r, "this machine refuses all sessions: out of memory");
	else if ((e = check_file(r, fd)) == 0 && (e = read_text(r, text, fd)) == 0)
		e = take_text(r, text);
	free(text);
	close(fd);
	return e;
}

static int
decide(struct reading *r)
{
	if (r->denied)
		return HW_ELOCAL;
	for (int s = 0; s < SUBJECTS; s++)
		if (r->listed[s] && !r->allowed[s] && (s != USERS || is_somebody(r)))
			return refuse(r,
				"this machine does not allow the %s %.65s: no line of %.60s allows it",
				nouns[s], r->names[s], r->policy->path);
	return 0;
}

int
local_policy_inspect(const struct local_policy *policy, char why[LOCAL_POLICY_WHY_MAX])
{
	struct reading r = {
		.policy = policy, .names = {"", ""},
		     .why = why
	       };

	return take_file(&r);
}

int
local_policy_check(const struct local_policy *policy, const struct local_policy_ask *ask,
	char why[LOCAL_POLICY_WHY_MAX])
{
	const char *document = document_of(ask->request);
	struct reading r = {
		.policy = policy, .ask = ask, .names = {ask->user, document},
			      .why = why
	};
	int e;

	if (document == NULL)
		return refuse(&r, "the session does not do what its document %.80s does",
			ask->request->document);
	/* Whoever says root is seen to say it; another name of it would slip through every list. */
	if (ask->user != NULL && ask->uid == 0 && geteuid() == 0 && strcmp(ask->user, "root") != 0)
		return refuse(&r, "%.65s is another name of root: ask for root by name", ask->user);
	if ((e = take_file(&r)) < 0)
		return e;
	return decide(&r);
}
