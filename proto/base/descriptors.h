/* How many descriptors this process may have: what it was started with is for programs that poll a
 * handful. */
#ifndef HAWSER_BASE_DESCRIPTORS_H
#define HAWSER_BASE_DESCRIPTORS_H

/* As many as the machine lets it have. What it starts inherits that. */
void descriptors_raise(void);

#endif
