#include "node/holder/account.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"

static int
copy(char *to, size_t room, const char *from)
{
	int n = snprintf(to, room, "%s", from);

	return n >= 0 && (size_t)n < room ? 0 : -1;
}

int
account_find(struct account *ret, const char *name, char *why, size_t room)
{
	struct account a = {.uid = (uid_t)-1};

	errno = 0;
	const struct passwd *pw = name != NULL ? getpwnam(name) : getpwuid(geteuid());
	if (pw == NULL) {
		if (name != NULL)
			snprintf(why, room, "no user %s on this node", name);
		else
			snprintf(why, room, "uid %u has no entry in passwd", (unsigned)geteuid());
		return HW_ERUNAS;
	}
	a.uid = pw->pw_uid;
	a.gid = pw->pw_gid;
	if (copy(a.name, sizeof(a.name), pw->pw_name) < 0 ||
		copy(a.home, sizeof(a.home), pw->pw_dir) < 0 ||
		copy(a.shell, sizeof(a.shell), pw->pw_shell[0] ? pw->pw_shell : "/bin/sh") < 0) {
		snprintf(why, room, "the passwd entry of %s is too long", pw->pw_name);
		return HW_ERUNAS;
	}
	*ret = a;
	return 0;
}

void
account_load(bool groups)
{
	struct account self;
	char why[192];
	gid_t gid;
	int one = 1;

	if (account_find(&self, NULL, why, sizeof(why)) == 0 && groups)
		getgrouplist(self.name, self.gid, &gid, &one);
}

/* --- becoming it ---------------------------------------------------------------------------- */

struct groups {
	gid_t *gids;
	int n;
};

static int
by_number(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return (x > y) - (x < y);
}

/* In the kernel's order. */
static bool
find_groups(struct groups *ret, const struct account *a)
{
	int room = NGROUPS_MAX;

	ret->gids = calloc((size_t)room, sizeof(gid_t));
	if (ret->gids == NULL || getgrouplist(a->name, a->gid, ret->gids, &room) < 0)
		return false;
	ret->n = room;
	qsort(ret->gids, (size_t)ret->n, sizeof(gid_t), by_number);
	return true;
}

static bool
has_groups(const struct groups *g)
{
	struct groups now = {.n = getgroups(0, NULL)};
	bool same = false;

	if (now.n == g->n && (now.gids = calloc((size_t)now.n + 1, sizeof(gid_t))) != NULL) {
		same = getgroups(now.n, now.gids) == g->n;
		qsort(now.gids, (size_t)now.n, sizeof(gid_t), by_number);
		same = same && memcmp(now.gids, g->gids, (size_t)g->n * sizeof(gid_t)) == 0;
	}
	free(now.gids);
	return same;
}

/* Nothing that a user's process could use by itself: what may be inherited is a login's affair. */
static bool
has_no_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, sets) < 0)
		return false;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (sets[i].effective != 0 || sets[i].permitted != 0)
			return false;
	return true;
}

/* All that the kernel says, read again: real, effective, saved, and what files are opened as. */
static bool
has_ids(const struct account *a)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return false;
	if (ru != a->uid || eu != a->uid || su != a->uid)
		return false;
	if (rg != a->gid || eg != a->gid || sg != a->gid)
		return false;
	return (uid_t)setfsuid((uid_t)-1) == a->uid && (gid_t)setfsgid((gid_t)-1) == a->gid;
}

/* Tried, and not only looked at. */
static bool
has_no_way_back(const struct account *a)
{
	return setresuid((uid_t)-1, 0, (uid_t)-1) < 0 &&
		(a->gid == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) < 0) && setgroups(0, NULL) < 0;
}

/* What a process that never was root has by itself is for who started it to say. */
static bool
is_for_good(const struct account *a, bool was_root)
{
	if (!has_ids(a))
		return false;
	return a->uid == 0 || !was_root || (has_no_capabilities() && has_no_way_back(a));
}

static int
become(const struct account *a, const struct groups *g, char *why, size_t room)
{
	if (setgroups((size_t)g->n, g->gids) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 ||
		setresuid(a->uid, a->uid, a->uid) < 0) {
		snprintf(why, room, "cannot become %s: %s", a->name, strerror(errno));
		return HW_ESYS;
	}
	if (!has_groups(g)) {
		snprintf(why, room, "did not get exactly the groups of %s", a->name);
		return HW_ESYS;
	}
	return 0;
}

int
account_stay(const struct account *a, char *why, size_t room)
{
	if (has_ids(a))
		return 0;
	snprintf(why, room, "this process is not %s in every way", a->name);
	return HW_ESYS;
}

int
account_become(const struct account *a, char *why, size_t room)
{
	struct groups groups = {.gids = NULL};
	bool root = geteuid() == 0;
	int r = 0;

	if (root && !find_groups(&groups, a)) {
		snprintf(why, room, "cannot find the groups of %s", a->name);
		r = HW_ESYS;
	} else if (root) {
		r = become(a, &groups, why, room);
	}
	free(groups.gids);
	if (r == 0 && !is_for_good(a, root)) {
		snprintf(why, room, "did not become %s for good", a->name);
		r = HW_ESYS;
	}
	return r;
}
