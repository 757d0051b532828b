#include "client/home.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"

#define HOME_CONFIG "config"
#define CONFIG_MAX  4096

static int
home_set_path(struct home *h, struct hw_err *err, const char *dir, const char *rest)
{
	int n = snprintf(h->path, sizeof(h->path), "%s%s", dir, rest);

	if (n < 0 || (size_t)n >= sizeof(h->path) - 32)
		return hw_err_set(err, HW_EUSAGE, "the path of the client's directory is too long");
	return 0;
}

static const char *
user_home(void)
{
	const char *home = getenv("HOME");

	if (home != NULL && home[0] == '/')
		return home;
	struct passwd *pw = getpwuid(getuid());
	return pw != NULL ? pw->pw_dir : "/";
}

int
home_find(struct home *h, const char *wanted, struct hw_err *err)
{
	const char *config = getenv("XDG_CONFIG_HOME");

	*h = (struct home){0};
	if (wanted == NULL)
		wanted = getenv("HAWSER_HOME");
	if (wanted != NULL && wanted[0] != '\0')
		return home_set_path(h, err, wanted, "");
	if (config != NULL && config[0] == '/')
		return home_set_path(h, err, config, "/hawser");
	return home_set_path(h, err, user_home(), "/.config/hawser");
}

void
home_file(char out[PATH_MAX], const struct home *h, const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", h->path, name);

	hw_assert(n > 0 && n < PATH_MAX); /* home_set_path left room */
}

/* Holds nothing but what is ours. */
static bool
is_ours(int dir)
{
	static const char *const ours[] = {
		".", "..", HOME_CONFIG, HOME_KEY, HOME_CERT, HOME_CA, HOME_LAST, HOME_NAMES};
	const size_t witness = strlen(HOME_WITNESS);
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	const struct dirent *e;
	size_t i = 0, n = sizeof(ours) / sizeof(ours[0]);

	while (d != NULL && i < n && (e = readdir(d)) != NULL)
		for (i = 0; i < n && strcmp(ours[i], e->d_name) != 0 &&
			strncmp(e->d_name, HOME_WITNESS, witness) != 0;
			i++)
			;
	if (d != NULL)
		closedir(d);
	else
		fd_close(again);
	return d != NULL && i < n;
}

int
home_open(int *fd, const struct home *h, bool make, struct hw_err *err)
{
	int dir, r;

	if ((r = dir_open(&dir, h->path, make, err)) < 0)
		return r;
	/* Whoever says --home /tmp wants /tmp to stay as it is: our files have modes of their own.
	 */
	if (make && is_ours(dir) && fchmod(dir, 0700) < 0) {
		r = hw_err_sys(err, "cannot make %s private", h->path);
		fd_close(dir);
		return r;
	}
	*fd = dir;
	return 0;
}

/* --- config ---------------------------------------------------------------------------------- */

static int
config_line(struct home *h, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *text;
		size_t room;
		int64_t *time;
	} rows[] = {
		{"relay",	  h->relay, sizeof(h->relay), NULL	  },
		{"user",	 h->user,  sizeof(h->user),  NULL       },
		{"fleet",	  h->fleet, sizeof(h->fleet), NULL	  },
		{"issued",  NULL,	 0,		    &h->issued },
		{"expires", NULL,	  0,		     &h->expires},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(key, rows[i].key) != 0)
			continue;
		if (rows[i].time != NULL)
			return rfc3339_parse(rows[i].time, value);
		if (strlen(value) >= rows[i].room)
			return HW_EVALIDATION;
		stpcpy(rows[i].text, value);
		return 0;
	}
	return 0; /* a newer version's */
}

static int
config_parse(struct home *h, char *text)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		char *value = strchr(line, ' ');
		if (line[0] == '#' || value == NULL)
			continue;
		*value++ = '\0';
		if (config_line(h, line, value) < 0)
			return HW_EVALIDATION;
	}
	return h->relay[0] != '\0' && h->user[0] != '\0' ? 0 : HW_EVALIDATION;
}

int
home_load(struct home *h, struct hw_err *err)
{
	struct buf text;
	char *copy = NULL;
	int dir = -1, r;

	buf_init(&text, CONFIG_MAX);
	if ((r = home_open(&dir, h, false, err)) < 0 ||
		(r = file_read(&text, dir, HOME_CONFIG, err)) < 0) {
		if (r == HW_ENOTFOUND)
			r = hw_err_set(err, HW_EUNAUTH, "not logged in: there is no login in %s",
				h->path);
		goto out;
	}
	copy = buf_take(&text, &(size_t){0});
	if (copy == NULL || config_parse(h, copy) < 0)
		r = hw_err_set(err, HW_EUNAUTH, "%s/%s is damaged", h->path, HOME_CONFIG);
out:
	free(copy);
	buf_fini(&text);
	fd_close(dir);
	return r;
}

int
home_save(const struct home *h, struct hw_err *err)
{
	char text[CONFIG_MAX], issued[RFC3339_LEN + 1], expires[RFC3339_LEN + 1];
	int dir, n, r;

	rfc3339_format(issued, h->issued);
	rfc3339_format(expires, h->expires);
	n = snprintf(text, sizeof(text), "relay %s\nuser %s\nfleet %s\nissued %s\nexpires %s\n",
		h->relay, h->user, h->fleet, issued, expires);
	if ((r = home_open(&dir, h, true, err)) < 0)
		return r;
	r = file_write(dir, HOME_CONFIG, text, (size_t)n, 0600, err);
	fd_close(dir);
	return r;
}

int
home_forget(bool *had, const struct home *h, struct hw_err *err)
{
	/* The key first: whatever happens after it, the login is of no use. */
	static const char *const files[] = {HOME_KEY, HOME_CERT, HOME_CONFIG, HOME_CA, HOME_LAST};
	int dir, r;

	*had = false;
	if ((r = home_open(&dir, h, false, err)) < 0)
		return r == HW_ENOTFOUND ? 0 : r;
	r = 0;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (unlinkat(dir, files[i], 0) == 0)
			*had = true;
		else if (errno != ENOENT && r == 0)
			r = hw_err_sys(err, "cannot remove %s/%s", h->path, files[i]);
	}
	fd_close(dir);
	return r;
}
