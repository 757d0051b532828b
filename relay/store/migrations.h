/* The schema, version by version. A version that was released is never edited: the next one changes
 * it. */
#ifndef HAWSER_STORE_MIGRATIONS_H
#define HAWSER_STORE_MIGRATIONS_H

#include <stdint.h>

#include "relay/store/db.h"

/* Brings the database to the newest version that this program knows, each step in a transaction of
 * its own. HW_EVERSION when it is newer than that. */
int migrations_run(struct db *db, int64_t now, struct hw_err *err);

int migrations_newest(void);

/* The same, but no further than `version`, which this program knows: what an older one made. */
int migrations_run_to(struct db *db, int version, int64_t now, struct hw_err *err);

#endif
