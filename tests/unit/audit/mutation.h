/* One change of a relay's directory in memory, at random, and where it is. */
#ifndef HAWSER_TESTS_UNIT_AUDIT_MUTATION_H
#define HAWSER_TESTS_UNIT_AUDIT_MUTATION_H

#include "tests/unit/audit/vault.h"

#define GROUND_ENTRIES 512

/* A directory that is intact, an older copy of it, and what is known of it. */
struct ground {
	struct vault v;
	struct image old, now;
	struct log_head head; /* the newest */
	/* Where each entry's frame is. */
	struct {
		const char *file;
		uint64_t from, to;
	} frames[GROUND_ENTRIES];
	size_t n_frames;
};

void ground_survey(struct ground *g); /* sets the frames */

/* A change is located when the verifier names these bytes, or these entries. */
struct place {
	char file[128];
	uint64_t from, to;	  /* bytes that differ */
	uint64_t entry, entry_to; /* entries that it is about; VERIFY_NONE: none */
	bool is_whole;		  /* all of the file */
};

#define MUTATION_KINDS 16

struct mutation {
	unsigned kind;
	struct place place;
	bool needs_key;	     /* the journal: without the master key it says nothing */
	bool needs_head;     /* all of it is an older copy: only a head that was kept shows it */
	bool is_wide;	     /* over several files: any of them may be named */
	bool to_end;	     /* from the first difference on anything may differ */
	bool keeps_heads;    /* what is left of the heads says as much as before */
	bool in_wrapped_key; /* nothing but a wrapped key was changed */
	struct image before;
	bool changed[64]; /* which files have bytes of their own */
};

const char *mutation_name(unsigned kind);
/* False: nothing is different, and there is nothing to undo. */
bool mutation_make(struct mutation *m, struct ground *g, uint64_t seed);
void mutation_undo(struct mutation *m, struct ground *g);

#endif
