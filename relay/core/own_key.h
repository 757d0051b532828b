/*
 * The relay's own key: another one. Somebody lays it ready in relay.next/, and the relay takes it,
 * at once when it runs and is told so, or when it starts: one process alone writes relay.key and
 * relay.crt. Cut off at any moment it is done again, with the same key, until it is whole.
 */
#ifndef HAWSER_CORE_OWN_KEY_H
#define HAWSER_CORE_OWN_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct ca;

#define OWN_KEY_NEXT "relay.next" /* a folder of the relay's directory */

/* Makes a key and lays it ready, in place of one that lies there already. On disk when it returns
 * 0. HW_ENOTFOUND: `dir` holds no relay. */
int own_key_make(int dir, struct hw_err *err);
bool own_key_waits(int dir);

/* Takes the one that lies there, unless another is laid ready at this moment, with a certificate by
 * the authority for these hosts (as ca_issue_relay() has it); *taken is whether there was one.
 * Whatever fails, what relay.key and relay.crt were is still right for a process that has loaded
 * them. */
int own_key_take(bool *taken, int dir, const struct ca *ca, const char *name,
	const char *const *hosts, size_t n_hosts, int64_t now, struct hw_err *err);

#endif
