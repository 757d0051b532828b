/* Which session is meant: its id, any unique prefix of it, or its last six digits. */
#ifndef HAWSER_CLIENT_SESSION_NAME_H
#define HAWSER_CLIENT_SESSION_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

struct client;
struct msg_session;

/* Of n sessions the one that `name` means. Pure. HW_ENOSESSION; HW_EVALIDATION lists the ids when
 * it means several. */
int session_pick(const struct msg_session **ret, const struct msg_session *sessions, size_t n,
	const char *name, struct hw_err *err);

/* Asks the relay. */
int session_find(const struct msg_session **ret, struct client *c, const char *name,
	struct hw_err *err);
/* The id alone: nothing is asked when `name` is one. */
int session_find_id(const char **ret, struct client *c, const char *name, struct hw_err *err);

/* Whether it is a shell, or a command on a terminal. Pure. */
bool session_has_terminal(const struct msg_session *s);

#endif
