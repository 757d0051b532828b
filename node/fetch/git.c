/* Git and GitHub, by the git of the machine: in a directory of the command's own, from which the
 * files are then copied. */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/fetch/fetch.h"
#include "node/fetch/place.h"
#include "node/fetch/spec.h"
#include "proto/base/buf.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"

#define NO_PROGRAM  127
#define ENTRIES_MAX 100000	      /* files and links of what is checked out */
#define MEMORY_MAX  ((rlim_t)1 << 30) /* of each process of git's */

struct clone {
	const struct fetch_spec *spec;
	char url[FETCH_TEXT_MAX + 1];
	char tree[PATH_MAX]; /* where it is checked out */
	char key[64];	     /* of ssh; "": none */
	int key_fd;
	int settings;
};

/* --- the environment: what git is told there is in no list of processes ------------------------
 */

static void
set_config(struct clone *c, const char *key, const char *value)
{
	char name[32];

	snprintf(name, sizeof(name), "GIT_CONFIG_KEY_%d", c->settings);
	setenv(name, key, 1);
	snprintf(name, sizeof(name), "GIT_CONFIG_VALUE_%d", c->settings);
	setenv(name, value, 1);
	snprintf(name, sizeof(name), "%d", ++c->settings);
	setenv("GIT_CONFIG_COUNT", name, 1);
}

/* For the repository's own host alone: git would send a header of ours to wherever that one sends
 * it, so it is sent nowhere. */
static int
set_password(struct clone *c, const char *user, const char *password, struct hw_err *err)
{
	char key[512], pair[2 * FETCH_TEXT_MAX + 2], *code;
	const char *host = strstr(c->url, "://");
	size_t n = (size_t)snprintf(pair, sizeof(pair), "%s:%s", user, password);
	struct buf header;

	if (host == NULL || strncasecmp(c->url, "http", 4) != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"sourceInfo: a password is for a repository at https:// alone");
	snprintf(key, sizeof(key), "http.%.*s/.extraHeader",
		(int)(host + 3 + strcspn(host + 3, "/") - c->url), c->url);
	if ((code = malloc(4 * ((n + 2) / 3) + 1)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	base64_encode(code, pair, n);
	buf_init(&header, 4 * FETCH_TEXT_MAX);
	buf_printf(&header, "Authorization: Basic %s", code);
	set_config(c, key, buf_str(&header) != NULL ? buf_str(&header) : "");
	set_config(c, "http.followRedirects", "false");
	buf_wipe(&header);
	buf_fini(&header);
	explicit_bzero(pair, sizeof(pair));
	free(code);
	return 0;
}

static int
set_identity(struct clone *c, struct hw_err *err)
{
	const struct fetch_spec *s = c->spec;

	if (s->token != NULL)
		return set_password(c, "x-access-token", s->token, err);
	if (s->username != NULL || s->password != NULL)
		return set_password(c, s->username != NULL ? s->username : "",
			s->password != NULL ? s->password : "", err);
	return 0;
}

static void
quote(struct buf *out, const char *text)
{
	buf_append_byte(out, '\'');
	for (; *text != '\0'; text++)
		if (*text == '\'')
			buf_append_str(out, "'\\''");
		else
			buf_append_byte(out, (uint8_t)*text);
	buf_append_byte(out, '\'');
}

/* Nobody is there to be asked. */
static int
set_ssh(struct clone *c, struct hw_err *err)
{
	struct buf line;

	buf_init(&line, 2 * PATH_MAX);
	buf_append_str(&line, "ssh -o BatchMode=yes");
	if (c->spec->any_host_key)
		buf_append_str(&line,
			" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null");
	if (c->key[0] != '\0') {
		buf_append_str(&line, " -o IdentitiesOnly=yes -i ");
		quote(&line, c->key);
	}
	int r = buf_str(&line) == NULL || line.failed
		? hw_err_set(err, HW_ENOMEM, "out of memory")
		: setenv("GIT_SSH_COMMAND", buf_str(&line), 1);
	buf_fini(&line);
	return r;
}

static int
set_environment(struct clone *c, struct hw_err *err)
{
	const struct fetch_spec *s = c->spec;

	setenv("GIT_TERMINAL_PROMPT", "0", 1);
	setenv("GIT_ASKPASS", "true", 1);
	setenv("GIT_ALLOW_PROTOCOL", s->insecure ? "https:ssh:file:http" : "https:ssh:file", 1);
	setenv("GIT_LFS_SKIP_SMUDGE", "1", 1);
	set_config(c, "core.hooksPath", "/dev/null");
	/* Of few objects each would be a file of its own, and what is bounded is a file. */
	set_config(c, "fetch.unpackLimit", "1");
	/* Large files are not held whole, nor by many threads at once. */
	set_config(c, "core.bigFileThreshold", "16m");
	set_config(c, "pack.threads", "2");
	set_config(c, "http.proxy", s->proxy != NULL ? s->proxy : "");
	if (s->ca != NULL)
		set_config(c, "http.sslCAInfo", s->ca);
	int r = set_identity(c, err);
	return r == 0 ? set_ssh(c, err) : r;
}

/* --- running it ------------------------------------------------------------------------------- */

/* A few bytes of a pack unfold to objects as large as they please, which git holds whole. */
static void
bound_memory(void)
{
	struct rlimit now;

	if (getrlimit(RLIMIT_DATA, &now) < 0 || now.rlim_max > MEMORY_MAX)
		setrlimit(RLIMIT_DATA, &(struct rlimit){MEMORY_MAX, MEMORY_MAX});
}

/* 0, or its exit status; what it says goes to stderr, unless it is not wanted. */
static int
run_git(const struct clone *c, bool quiet, const char *const args[])
{
	const struct rlimit most = {(rlim_t)c->spec->max, (rlim_t)c->spec->max};
	const char *argv[24] = {"git", "-C", c->tree};
	size_t n = 3;
	int status = 0;

	while (*args != NULL && n < 23)
		argv[n++] = *args++;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
			(quiet && (dup2(null, 1) < 0 || dup2(null, 2) < 0)))
			_exit(1);
		setrlimit(RLIMIT_FSIZE, &most);
		bound_memory();
		execvp("git", (char *const *)(void *)argv);
		_exit(NO_PROGRAM);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Reads "MODE TYPE ID SIZE" and a tab before each name, which ends in a NUL. False past the bounds.
 */
static bool
count_entries(FILE *listing, int64_t left)
{
	char *line = NULL;
	size_t room = 0;
	long long size;
	int entries = 0;

	while (left >= 0 && entries <= ENTRIES_MAX && getdelim(&line, &room, '\0', listing) > 0) {
		entries++;
		if (sscanf(line, "%*s %*s %*s %lld", &size) == 1) /* a commit elsewhere has none */
			left -= size;
	}
	free(line);
	return left >= 0 && entries <= ENTRIES_MAX;
}

static void __attribute__((noreturn)) list_tree(const struct clone *c, const char *what, int out)
{
	if (dup2(out, STDOUT_FILENO) < 0)
		_exit(1);
	bound_memory();
	execlp("git", "git", "-C", c->tree, "ls-tree", "-r", "-l", "-z", what, (char *)NULL);
	_exit(NO_PROGRAM);
}

/* A few bytes of a repository may say that there are very many, or very large files. */
static int
check_size(const struct clone *c, const char *what, struct hw_err *err)
{
	int fds[2], status = 0;
	bool fits;

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return hw_err_sys(err, "no pipe for git");
	pid_t pid = fork();
	if (pid == 0)
		list_tree(c, what, fds[1]);
	close(fds[1]);
	FILE *listing = fdopen(fds[0], "r");
	fits = listing == NULL || count_entries(listing, c->spec->max);
	if (listing != NULL)
		fclose(listing); /* git ends when nobody reads on */
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!fits)
		return hw_err_set(err, HW_ELIMIT,
			"it is larger than this node downloads, or has more than %d files: see "
			"download_max in its node.conf",
			ENTRIES_MAX);
	return pid > 0 && listing != NULL && status == 0
		? 0
		: hw_err_set(err, HW_EUNAVAILABLE, "git could not list %.256s", c->url);
}

#define git(c, quiet, ...) run_git((c), (quiet), (const char *const[]){__VA_ARGS__, NULL})

/* A server may give only what a branch leads to: then all of them are asked for. *what is then the
 * commit. */
static int
fetch_commit(const struct clone *c, const char **what)
{
	const char *commit = c->spec->commit;
	bool whole = strlen(commit) == 40 || strlen(commit) == 64;

	if (whole && git(c, true, "fetch", "-q", "--depth=1", "--", c->url, commit) == 0)
		return 0;
	*what = commit;
	return git(c, false, "fetch", "-q", "--", c->url, "+refs/heads/*:refs/remotes/origin/*",
		"+refs/tags/*:refs/tags/*");
}

static int
fetch_branch(const struct clone *c)
{
	char ref[300];

	snprintf(ref, sizeof(ref), "%s%s", c->spec->branch != NULL ? "refs/heads/" : "HEAD",
		c->spec->branch != NULL ? c->spec->branch : "");
	return git(c, false, "fetch", "-q", "--depth=1", "--", c->url, ref);
}

static int
check_out(struct clone *c, struct hw_err *err)
{
	const char *what = "FETCH_HEAD";
	int code = git(c, false, "init", "-q"), r;

	if (code == NO_PROGRAM)
		return hw_err_set(err, HW_ENOTFOUND,
			"git is not installed on this node, and aws:downloadContent needs it for Git "
			"and GitHub");
	if (code == 0)
		code = c->spec->commit != NULL ? fetch_commit(c, &what) : fetch_branch(c);
	if (code == 0 && (r = check_size(c, what, err)) < 0)
		return r;
	if (code == 0)
		code = git(c, false, "checkout", "-q", "--detach", what);
	return code == 0 ? 0 : hw_err_set(err, HW_EUNAVAILABLE, "git could not get %.256s", c->url);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* It is never on a disk: ssh, which keeps no descriptor that it is given, reads it in this process
 * for as long as that is there. */
static int
hold_key(struct clone *c, struct hw_err *err)
{
	const char *key = c->spec->ssh_key;
	int r;

	if (key == NULL)
		return 0;
	c->key_fd = memfd_create("hawser-git-key", MFD_CLOEXEC);
	if (c->key_fd < 0 || fchmod(c->key_fd, 0600) < 0)
		return hw_err_sys(err, "cannot hold the key of ssh");
	snprintf(c->key, sizeof(c->key), "/proc/%d/fd/%d", (int)getpid(), c->key_fd);
	if ((r = fd_write_all(c->key_fd, key, strlen(key), err)) == 0 &&
		key[strlen(key) - 1] != '\n') /* which ssh wants */
		r = fd_write_all(c->key_fd, "\n", 1, err);
	return r;
}

static int
prepare(struct clone *c, struct hw_err *err)
{
	const struct fetch_spec *s = c->spec;
	int r;

	if (s->source == FETCH_GITHUB)
		snprintf(c->url, sizeof(c->url), "https://github.com/%.100s/%.100s.git", s->owner,
			s->repository);
	else
		snprintf(c->url, sizeof(c->url), "%s", s->url);
	snprintf(c->tree, sizeof(c->tree), "%.3900s/git-XXXXXX", s->work);
	if (mkdtemp(c->tree) == NULL)
		return hw_err_sys(err, "cannot make a directory for git");
	if ((r = hold_key(c, err)) < 0)
		return r;
	return set_environment(c, err);
}

/* Part by part, since a repository's links may lead to anything of this machine's. */
static int
open_below(int dir, const char *path)
{
	char part[NAME_MAX + 1];
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t n; fd >= 0 && *(path += strspn(path, "/")) != '\0'; path += n) {
		n = strcspn(path, "/");
		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		errno = ENAMETOOLONG;
		int next = n < sizeof(part)
			? openat(fd, part, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
			: -1;
		fd_close(fd);
		fd = next;
	}
	return fd;
}

/* The whole of it, or what is at `path`: a file or a directory. */
static int
take_out(const struct clone *c, struct place *p, struct hw_err *err)
{
	const char *path = c->spec->path != NULL ? c->spec->path : "", *slash = strrchr(path, '/');
	int top = open(c->tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = top < 0 ? -1 : open_below(top, path);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		r = hw_err_sys(err, "%.256s has no %.256s", c->url, path);
	else if (S_ISDIR(st.st_mode))
		r = place_copy_tree(p, fd, err);
	else
		r = place_copy(p, fd, slash != NULL ? slash + 1 : path, err);
	fd_close(fd);
	fd_close(top);
	return r;
}

/* Where it was checked out nobody looks for it, and it takes as much room again. */
static void
remove_tree(const struct clone *c)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", c->tree, (char *)NULL);
		_exit(NO_PROGRAM);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int
fetch_git(struct place *p, const struct fetch_spec *s, struct hw_err *err)
{
	struct clone c = {.spec = s, .key_fd = -1};
	int r = prepare(&c, err);

	if (r == 0 && (r = check_out(&c, err)) == 0)
		r = take_out(&c, p, err);
	fd_close(c.key_fd);
	remove_tree(&c);
	return r;
}
