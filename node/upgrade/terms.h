/*
 * On which terms a machine takes a release: a text file of its administrator,
 * /etc/hawser/node.release.
 *
 *   key 5tD0...=         # who may sign one: base64 of an Ed25519 key, as hawser release keygen
 * shows it allow downgrade      # an older version may follow, when who asks says so too within 60
 * # seconds that a new agent has to prove itself, 1 to 600
 *
 * No file, or no key: there are no upgrades.
 */
#ifndef HAWSER_NODE_TERMS_H
#define HAWSER_NODE_TERMS_H

#include <stdbool.h>

#include "proto/trust/release.h"

#define TERMS_DEFAULT  "/etc/hawser/node.release"
#define TERMS_KEYS_MAX 16

struct terms {
	uint8_t keys[TERMS_KEYS_MAX][RELEASE_KEY_LEN];
	int n_keys;
	bool downgrade;
	int within;
};

/* HW_EVALIDATION names the line. Pure. */
int terms_parse(struct terms *ret, const char *text, struct hw_err *err);
/* HW_EDENIED when others than root and the process's own user could write it, HW_ENOTFOUND when it
 * is not there or has no key: both say what to do. */
int terms_load(struct terms *ret, const char *path, struct hw_err *err);

/* Whether these programs may take the place of those of version `running` on this machine.
 * HW_EDENIED, HW_EVALIDATION or HW_EEXISTS (it is the same version) and why not. Pure. */
int terms_allow(const struct terms *t, const struct release *r, const char *running,
	const char *architecture, bool downgrade, struct hw_err *err);

#endif
