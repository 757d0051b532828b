/* What a holder says to its uplink: where it stands, credit, screens, output, the program's end. */
#ifndef HAWSER_HOLDER_OUTGOING_H
#define HAWSER_HOLDER_OUTGOING_H

struct holder;

enum outgoing_end { OUTGOING_DONE, OUTGOING_BLOCKED, OUTGOING_GONE };

/* Says all that there is to say: until it is said, the socket is full, or nobody is there. */
enum outgoing_end outgoing_send(struct holder *h);

/* Forgets what was under way, and what this uplink asked for. */
void outgoing_drop(struct holder *h);

#endif
