#include "node/holder/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
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

static int
is_for_good(const struct account *a)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return 0;
	if (ru != a->uid || eu != a->uid || su != a->uid)
		return 0;
	if (rg != a->gid || eg != a->gid || sg != a->gid)
		return 0;
	return a->uid == 0 || setresuid((uid_t)-1, 0, (uid_t)-1) < 0;
}

int
account_become(const struct account *a, char *why, size_t room)
{
	if (geteuid() == 0 &&
		(initgroups(a->name, a->gid) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 ||
			setresuid(a->uid, a->uid, a->uid) < 0)) {
		snprintf(why, room, "cannot become %s: %s", a->name, strerror(errno));
		return HW_ESYS;
	}
	if (!is_for_good(a)) {
		snprintf(why, room, "did not become %s for good", a->name);
		return HW_ESYS;
	}
	return 0;
}
