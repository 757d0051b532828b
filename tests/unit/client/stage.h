/* One command, run in this process against a relay that answers as it is told: what it asked, wrote
 * and returned. */
#ifndef HAWSER_TESTS_UNIT_CLIENT_STAGE_H
#define HAWSER_TESTS_UNIT_CLIENT_STAGE_H

#include "client/client.h"
#include "tests/unit/client/rig.h"

struct stage {
	struct rig *rig;
	struct client client; /* alice's */
	int status;	      /* what its run() returned */
	struct hw_err err;
	char *asked, *out, *said; /* requests as JSON; stdout; stderr */
	const char *input;	  /* of stdin; NULL: none */
};

struct stage *stage_new(void);
struct stage *stage_new_real(void); /* its time is real: for what catches signals */
/* `line` is what follows "hawser": words parted by single blanks. Every answer must be used. */
void stage_run(struct stage *s, const char *line, const struct rig_answer *answers);
void stage_free(struct stage *s);

/* Runs it afresh, and expects success with these requests. */
struct stage *stage_ok(const char *line, const struct rig_answer *answers, const char *asked);
/* The same for a command that fails. */
struct stage *stage_fails(const char *line, const struct rig_answer *answers, int code,
	const char *why);

/* That a text is part of another. */
void stage_has(const char *all, const char *part);
void stage_lacks(const char *all, const char *part);

#endif
