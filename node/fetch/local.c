/* Files of this machine. */
#include <sys/stat.h>

#include <fcntl.h>
#include <string.h>

#include "node/fetch/fetch.h"
#include "node/fetch/place.h"
#include "node/fetch/spec.h"
#include "proto/base/file.h"

int
fetch_local(struct place *p, const struct fetch_spec *s, struct hw_err *err)
{
	const char *slash = strrchr(s->path, '/');
	struct stat st;
	int r, fd = open(s->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		r = hw_err_sys(err, "cannot open %s", s->path);
	else if (S_ISDIR(st.st_mode))
		r = place_copy_tree(p, fd, err);
	else if (S_ISREG(st.st_mode))
		r = place_copy(p, fd, slash + 1, err);
	else
		r = hw_err_set(err, HW_EVALIDATION, "%s is neither a file nor a directory",
			s->path);
	fd_close(fd);
	return r;
}
