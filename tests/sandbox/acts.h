/* What a relay or a network process that was taken over would like to do. Each act is harmless
 * where it is not refused: it asks for what does not exist, or gives what the kernel will not take.
 */
#ifndef HAWSER_TESTS_SANDBOX_ACTS_H
#define HAWSER_TESTS_SANDBOX_ACTS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Made before the sandbox is entered. */
struct ground {
	char base[64];	  /* everything else is in it */
	char dir[96];	  /* the process's own */
	char outside[96]; /* not its own, and everybody's to write to */
	char secret[128]; /* a file there that everybody may read */
	char link[128];	  /* in dir, to it */
	char own[128];	  /* a file in dir */
	char abstract[64];
	pid_t victim;  /* another process of the same user */
	int tty;       /* a terminal */
	int listening; /* on port */
	int abstract_fd;
	long abi;      /* of the kernel's Landlock; negative: none */
	uint16_t port; /* where somebody listens */
	uint16_t free; /* where nobody does */
};

enum act_of { ACT_OF_BOTH, ACT_OF_RELAY, ACT_OF_UPLINK };

struct act {
	const char *name;
	long (*attempt)(const struct ground *g); /* negative, and errno, when it failed */
	int abi; /* of Landlock, without which the kernel lets it be */
	enum act_of whose;
};

extern const struct act acts[];
extern const size_t n_acts;

long landlock_abi(void);
void ground_make(struct ground *g);
void ground_remove(struct ground *g);

#endif
